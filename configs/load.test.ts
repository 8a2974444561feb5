import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ConfigError } from "./config-error.js";
import { dropInsOf, findConfigurationFile, loadConfiguration } from "./load.js";

function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("the runtime option goes before the environment, that before the files", (context) => {
  const folder = temporaryFolder(context);
  const present = join(folder, "present.yaml");
  writeFileSync(present, "");
  const defaults = [join(folder, "absent.yaml"), present];
  const env = { KATA_FS_CONFIG: "/from/environment.yaml" };
  assert.equal(findConfigurationFile("/from/option.yaml", env, defaults), "/from/option.yaml");
  assert.equal(findConfigurationFile("", env, defaults), "/from/environment.yaml");
  assert.equal(findConfigurationFile(undefined, {}, defaults), present);
  assert.throws(
    () => findConfigurationFile(undefined, {}, ["/absent/config.yaml"]),
    /no configuration at \/absent/,
  );
});

test("a file that cannot be read is named", () => {
  assert.throws(
    () => loadConfiguration("/absent/config.yaml"),
    (error) => {
      assert(error instanceof ConfigError);
      assert.match(error.message, /^\/absent\/config\.yaml: ENOENT/);
      return true;
    },
  );
});

test("drop-ins apply after the file, by the order of their names", (context) => {
  const folder = temporaryFolder(context);
  const file = join(folder, "config.yaml");
  const dropIns = join(folder, "config.d");
  mkdirSync(dropIns);
  writeFileSync(file, "hypervisor: { cpus: 2, memoryMiB: 256 }\n");
  writeFileSync(join(dropIns, "9-last.yaml"), "hypervisor: { cpus: 9 }\n");
  writeFileSync(join(dropIns, "10-first.yaml"), "hypervisor: { cpus: 10, accelerator: tcg }\n");
  for (const ignored of [".hidden.yaml", "note.txt", "old.yaml~"]) {
    writeFileSync(join(dropIns, ignored), "hypervisor: { cpus: 99 }\n");
  }
  assert.deepEqual(dropInsOf(file), [join(dropIns, "10-first.yaml"), join(dropIns, "9-last.yaml")]);
  const { hypervisor } = loadConfiguration(file);
  assert.equal(hypervisor.cpus, 9);
  assert.equal(hypervisor.accelerator, "tcg");
  assert.equal(hypervisor.memoryMiB, 256);
});

test("each file has drop-ins of its own", (context) => {
  const folder = temporaryFolder(context);
  mkdirSync(join(folder, "gpu.d"));
  writeFileSync(join(folder, "gpu.d", "a.yaml"), "");
  assert.deepEqual(dropInsOf(join(folder, "gpu.yaml")), [join(folder, "gpu.d", "a.yaml")]);
  assert.deepEqual(dropInsOf(join(folder, "config.yaml")), []);
});

test("a mistake in a drop-in is told with its place", (context) => {
  const folder = temporaryFolder(context);
  const file = join(folder, "config.yaml");
  mkdirSync(join(folder, "config.d"));
  writeFileSync(file, "");
  const dropIn = join(folder, "config.d", "50-memory.yaml");
  writeFileSync(dropIn, "\nhypervisor:\n  memory: 512\n");
  assert.throws(() => loadConfiguration(file), {
    message: `${dropIn}:3: unknown key hypervisor.memory; needed: a known one, the nearest is memoryMiB`,
  });
});

test("drop-ins for a file that is missing are not passed over in silence", (context) => {
  const folder = temporaryFolder(context);
  mkdirSync(join(folder, "config.d"));
  writeFileSync(join(folder, "config.d", "a.yaml"), "");
  const other = join(folder, "other.yaml");
  writeFileSync(other, "");
  assert.throws(() => findConfigurationFile(undefined, {}, [join(folder, "config.yaml"), other]), {
    message: `${join(folder, "config.d", "a.yaml")} has nothing to add to; needed: ${join(folder, "config.yaml")}, which may be empty`,
  });
});
