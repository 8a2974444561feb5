import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { envCommand } from "../env.js";
import { checkCommand, formatFindings } from "./command.js";
import { failure, ok, warning } from "./finding.js";

const { KATA_FS_CONFIG } = process.env;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kata-fs-check-"));
});
afterEach(() => {
  if (KATA_FS_CONFIG === undefined) delete process.env["KATA_FS_CONFIG"];
  else process.env["KATA_FS_CONFIG"] = KATA_FS_CONFIG;
  rmSync(folder, { recursive: true });
});

function configure(yaml: string): string {
  const file = join(folder, "config.yaml");
  writeFileSync(file, yaml);
  process.env["KATA_FS_CONFIG"] = file;
  return file;
}

async function run(command: typeof checkCommand, ...words: readonly string[]) {
  let out = "";
  const status = await command.run(words, {
    out: (text) => {
      out += text;
    },
    err: () => {},
  });
  return { status, out };
}

test("a line for each thing, the remedy below what is amiss", () => {
  const findings = [ok("user", "root"), warning("KVM", "refused", "tcg"), failure("QEMU", "none", "install")];
  assert.equal(
    formatFindings(findings, false),
    "ok    user  root\nwarn  KVM   refused\n            → tcg\nfail  QEMU  none\n            → install\n",
  );
  assert.ok(formatFindings(findings, true).startsWith("\u001b[32mok  \u001b[m  user"));
});

test("what the configuration names and is not there fails, each with its key", async () => {
  const file = configure(
    `hypervisor: { argv: [${folder}/qemu], kernel: ${folder}/kernel }\nguest: { root: ${folder} }\ndaemon: { path: ${folder}/fsd }\n`,
  );
  const { status, out } = await run(checkCommand, "--json");
  assert.equal(status, 1);
  const findings: readonly { title: string; verdict: string; found: string; remedy?: string }[] =
    JSON.parse(out);
  const of = (title: string) => findings.find((finding) => finding.title === title);
  assert.deepEqual(of("configuration"), { title: "configuration", verdict: "ok", found: file });
  assert.deepEqual(of("guest root"), { title: "guest root", verdict: "ok", found: folder });
  for (const [title, key] of [
    ["QEMU", "hypervisor.argv"],
    ["guest kernel", "hypervisor.kernel"],
    ["kata-fsd", "daemon.path"],
  ] as const) {
    assert.equal(of(title)?.verdict, "fail", title);
    assert.match(of(title)?.found ?? "", new RegExp(folder), title);
    assert.match(of(title)?.remedy ?? "", new RegExp(key), title);
  }
});

test("a configuration that cannot be read is found by check, and a fact of env", async () => {
  const file = configure("hypervisor: { cpu: 2 }\n");
  const checked = await run(checkCommand);
  assert.equal(checked.status, 1);
  assert.match(checked.out, new RegExp(`^fail +configuration +${file}:1: .*cpu.*\\n +→ .*cpus`, "m"));
  const { status, out } = await run(envCommand, "--json");
  assert.equal(status, 0);
  assert.match(JSON.parse(out).configuration.problem, /cpus/);
});

test("env has versions, paths and the gist of the configuration", async () => {
  const file = configure(
    "hypervisor: { argv: [/nonexistent/qemu], accelerator: tcg }\ndaemon: { dax: off }\n",
  );
  const { out } = await run(envCommand, "--json");
  const facts = JSON.parse(out);
  assert.equal(facts.configuration.file, file);
  assert.equal(facts.hypervisor.accelerator, "tcg");
  assert.match(facts.hypervisor.version, /cannot be started/);
  assert.equal(facts.daemon.dax, false);
  assert.equal(facts["kata-fs"].node, process.version);
  assert.match((await run(envCommand)).out, /^host\n {2}kernel /m);
});
