import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { parseConfiguration } from "../../configs/index.js";
import { apply, revert } from "./changes.js";
import type { InstallOptions } from "./options.js";
import { COMMAND_NAMES, type InstallFacts, planInstall } from "./plan.js";
import { uninstallCommand } from "./uninstall.js";

let root: string;
let options: InstallOptions;
let facts: InstallFacts;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kata-fs-test-"));
  const commands = join(root, "package/dist/bin");
  mkdirSync(commands, { recursive: true });
  for (const name of COMMAND_NAMES) writeFileSync(join(commands, name), "");
  options = {
    handler: "kata-fs",
    config: join(root, "etc/kata-fs/config.yaml"),
    bin: join(root, "usr/local/bin"),
    containerdConfig: join(root, "etc/containerd/config.toml"),
    containerd: "containerd",
    withoutAssets: true,
    dryRun: false,
    json: false,
  };
  facts = {
    commands,
    node: process.execPath,
    containerdVersion: 2,
    setUpConfig: undefined,
    assets: undefined,
  };
});
afterEach(() => rmSync(root, { recursive: true }));

/** Every path below the root, with what is there. */
function tree(): Record<string, string> {
  const names = readdirSync(root, { recursive: true, encoding: "utf8", withFileTypes: true });
  return Object.fromEntries(
    names.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      if (entry.isSymbolicLink()) return [path, `-> ${readlinkSync(path)}`];
      if (entry.isDirectory()) return [path, "directory"];
      return [path, `${statSync(path).mode} ${readFileSync(path, "utf8")}`];
    }),
  );
}

function install(): void {
  for (const change of planInstall(options, facts)) apply(change);
}

async function uninstall(...words: readonly string[]): Promise<{ out: string; err: string }> {
  let out = "";
  let err = "";
  const output = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
  };
  await uninstallCommand.run(["--config", options.config, "--force", ...words], output);
  return { out, err };
}

test("on an empty machine everything is made, and taken back", async () => {
  const before = tree();
  install();
  assert.deepEqual(
    parseConfiguration(readFileSync(options.config, "utf8"), "made"),
    parseConfiguration("", ""),
  );
  assert.match(
    readFileSync(options.containerdConfig, "utf8"),
    /^version = 2\n\n\[plugins\."io\.containerd\.grpc/,
  );
  for (const name of COMMAND_NAMES) assert(statSync(join(options.bin, name)).isFile());
  assert.equal((await uninstall()).err, "");
  assert.deepEqual(tree(), before);
});

test("what was there stays as it was", async () => {
  for (const path of [options.config, options.containerdConfig])
    mkdirSync(join(path, ".."), { recursive: true });
  mkdirSync(options.bin, { recursive: true });
  writeFileSync(options.config, "hypervisor: { cpus: 2 }\n");
  writeFileSync(options.containerdConfig, "version = 3", { mode: 0o600 });
  const before = tree();
  install();
  assert.equal(readFileSync(options.config, "utf8"), "hypervisor: { cpus: 2 }\n");
  const toml = readFileSync(options.containerdConfig, "utf8");
  assert.match(toml, /\[plugins\."io\.containerd\.cri\.v1\.runtime"\.containerd\.runtimes\.kata-fs\]/);
  assert.equal(statSync(options.containerdConfig).mode & 0o777, 0o600);
  await uninstall();
  assert.deepEqual(tree(), before);
});

test("what has been changed since is named, and stays", async () => {
  install();
  writeFileSync(options.config, "hypervisor: { cpus: 2 }\n");
  const shim = join(options.bin, "containerd-shim-kata-fs-v2");
  rmSync(shim);
  symlinkSync("/elsewhere", shim);
  const { err } = await uninstall();
  assert.match(err, /config\.yaml has been changed since, and stays\n/);
  assert.match(err, /etc\/kata-fs is not empty, and stays\n/);
  assert.equal(readFileSync(options.config, "utf8"), "hypervisor: { cpus: 2 }\n");
  assert.equal(readlinkSync(shim), "/elsewhere");
});

test("the plan alone changes nothing, and a change can be taken back by itself", () => {
  mkdirSync(join(options.containerdConfig, ".."), { recursive: true });
  writeFileSync(options.containerdConfig, "version = 2\n");
  const before = tree();
  const changes = planInstall(options, facts);
  assert.deepEqual(tree(), before);
  for (const change of changes) apply(change);
  for (const change of changes.toReversed()) revert(change);
  assert.deepEqual(tree(), before);
});

test("a second installation, and a foreign command of the same name, are refused", () => {
  mkdirSync(options.bin, { recursive: true });
  writeFileSync(join(options.bin, "kata-fs"), "#!/bin/sh\n");
  assert.throws(() => planInstall(options, facts), /another .*\/kata-fs; needed: that it is removed/);
  rmSync(join(options.bin, "kata-fs"));
  install();
  assert.throws(() => planInstall(options, facts), /needed: kata-fs uninstall first/);
});

test("commands that npm has linked already need nothing", () => {
  mkdirSync(options.bin, { recursive: true });
  for (const name of COMMAND_NAMES) symlinkSync(join(facts.commands, name), join(options.bin, name));
  const planned = planInstall(options, facts).map(({ path }) => path);
  assert(!planned.some((path) => path.startsWith(options.bin)));
});

test("a Node.js that containerd would not find is named in a script", () => {
  const node = join(root, "node");
  writeFileSync(node, "");
  chmodSync(node, 0o755);
  const change = planInstall(options, { ...facts, node }).find(({ path }) => path.endsWith("-v2"));
  assert(change?.kind === "file");
  assert.equal(change.mode, 0o755);
  assert.match(change.contents, new RegExp(`KATA_FS_NODE=\\$\\{KATA_FS_NODE:-'${node}'\\} exec '`));
});
