import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { EXPLANATIONS } from "../../configs/explanations.js";
import { parseConfiguration } from "../../configs/index.js";
import { UsageError } from "../command.js";
import { configCommand } from "./command.js";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kata-fs-test-"));
  file = join(folder, "config.yaml");
  mkdirSync(join(folder, "config.d"));
  writeFileSync(file, "hypervisor:\n  cpus: 2\n");
});
afterEach(() => rmSync(folder, { recursive: true }));

async function config(...words: readonly string[]) {
  let out = "";
  let err = "";
  const status = await configCommand.run(words, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { status, out, err };
}

test("show: YAML of what holds, with the origin of each value", async () => {
  const dropIn = join(folder, "config.d", "1.yaml");
  writeFileSync(dropIn, "runtime:\n  logLevel: debug\n");
  const { status, out } = await config(
    "show",
    "--config",
    file,
    "--annotation",
    "io.katacontainers.config.hypervisor.kernel_params=a=b",
  );
  assert.equal(status, 0);
  assert.match(out, new RegExp(`^  cpus: 2 +# ${file}:2$`, "m"));
  assert.match(out, new RegExp(`^  logLevel: debug +# ${dropIn}:2$`, "m"));
  assert.match(out, /^ {2}memoryMiB: 1024 +# default$/m);
  assert.match(out, /^ {2}kernelParameters: a=b +# annotation io\.kata/m);
  assert.equal(parseConfiguration(out, "shown").hypervisor.cpus, 2);
});

test("show --json: value and origin of each key", async () => {
  const { hypervisor } = JSON.parse((await config("show", "--config", file, "--json")).out);
  assert.deepEqual(hypervisor.cpus, { value: 2, origin: `${file}:2` });
  assert.deepEqual(hypervisor.memoryMiB, { value: 1024, origin: "default" });
});

test("check: the files that were read, or the line that is wrong", async () => {
  const dropIn = join(folder, "config.d", "1.yaml");
  writeFileSync(dropIn, "");
  assert.deepEqual(await config("check", file), { status: 0, out: `ok  ${file}\nok  ${dropIn}\n`, err: "" });
  assert.deepEqual(JSON.parse((await config("check", file, "--json")).out), {
    ok: true,
    file,
    dropIns: [dropIn],
  });
  writeFileSync(dropIn, "hypervisor:\n  cpus: none\n");
  const error = `${dropIn}:2: hypervisor.cpus is "none"; needed: a whole number from 1 to 255`;
  assert.deepEqual(await config("check", file), { status: 1, out: "", err: `${error}\n` });
  const { status, out } = await config("check", file, "--json");
  assert.equal(status, 1);
  assert.deepEqual(JSON.parse(out), { ok: false, error });
});

test("defaults: the commented file, or its facts as JSON", async () => {
  const { out } = await config("defaults");
  assert.equal(out, readFileSync(new URL("../../configs/config.yaml", import.meta.url), "utf8"));
  const keys = JSON.parse((await config("defaults", "--json")).out);
  assert.deepEqual(keys.hypervisor.memoryMiB, {
    meaning: EXPLANATIONS.hypervisor.keys.memoryMiB,
    type: "a whole number from 128 to 1048576",
    unit: "MiB",
    default: 1024,
  });
  assert.equal(keys.daemon.path.default, null);
});

test("import: a configuration on standard output, the report on standard error", async () => {
  const toml = join(folder, "configuration.toml");
  writeFileSync(toml, '[hypervisor.qemu]\npath = "/q"\ndefault_memory = 512\nenable_hugepages = true\n');
  const { status, out, err } = await config("import", toml);
  assert.equal(status, 0);
  assert.equal(parseConfiguration(out, "imported").hypervisor.memoryMiB, 512);
  assert.match(err, /Without counterpart \(1\):\n {2}hypervisor\.qemu\.enable_hugepages/);
  const { configuration } = JSON.parse((await config("import", toml, "--json")).out);
  assert.deepEqual(configuration, { hypervisor: { argv: ["/q"], memoryMiB: 512 } });
});

test("import refuses a value that cannot be used here, and says so", async () => {
  const toml = join(folder, "configuration.toml");
  writeFileSync(toml, "[hypervisor.qemu]\ndefault_memory = 1\n");
  await assert.rejects(config("import", toml), {
    message: `${toml}: hypervisor.qemu.default_memory: hypervisor.memoryMiB is 1; needed: a whole number from 128 to 1048576, in MiB`,
  });
});

test("what cannot be followed is refused with the nearest that can", async () => {
  await assert.rejects(config("show", "--jsno"), (error) => {
    assert(error instanceof UsageError);
    assert.equal(error.message, "unknown option --jsno; the nearest is --json");
    return true;
  });
  await assert.rejects(config("show", "--config"), UsageError);
  await assert.rejects(config("show", "surplus"), UsageError);
  await assert.rejects(config("show", "--annotation", "x"), /needed: NAME=VALUE/);
  await assert.rejects(config("sho"), /there is no sho; needed: one of show, check, defaults, import/);
  await assert.rejects(config("import"), UsageError);
});
