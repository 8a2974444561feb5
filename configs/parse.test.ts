import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "./config-error.js";
import { parseConfiguration, parseSettings } from "./parse.js";

function complaint(yaml: string): string {
  try {
    parseConfiguration(yaml, "c.yaml");
  } catch (error) {
    assert(error instanceof ConfigError);
    assert.doesNotMatch(error.message, /\n/);
    return error.message;
  }
  return assert.fail("it was accepted");
}

test("values are taken, everything else keeps its default", () => {
  const { hypervisor, daemon, runtime } = parseConfiguration(
    `
hypervisor:
  argv: [/opt/qemu/ld.so, --library-path, /opt/qemu/lib, /opt/qemu/qemu-system-x86_64]
  env: { QEMU_MODULE_DIR: /opt/qemu/lib }
  memoryMiB: 256
daemon: { dax: off }
runtime:
  # reportDirectory: /nowhere
`,
    "c.yaml",
  );
  assert.equal(hypervisor.argv.length, 4);
  assert.deepEqual(hypervisor.env, { QEMU_MODULE_DIR: "/opt/qemu/lib" });
  assert.equal(hypervisor.memoryMiB, 256);
  assert.equal(hypervisor.accelerator, "auto");
  assert.equal(daemon.dax, false);
  assert.equal(runtime.reportDirectory, undefined);
});

test("each value that a file sets has its line", () => {
  const settings = parseSettings("guest: {}\nhypervisor:\n  cpus: 2\n  memoryMiB: 512\n", "c.yaml");
  assert.deepEqual(settings.hypervisor, {
    cpus: { value: 2, origin: "c.yaml:3" },
    memoryMiB: { value: 512, origin: "c.yaml:4" },
  });
  assert.deepEqual(settings.guest, {});
  assert.deepEqual(settings.daemon, {});
});

test("a command may be one word", () => {
  assert.deepEqual(parseConfiguration("hypervisor: { argv: /usr/bin/qemu }", "c").hypervisor.argv, [
    "/usr/bin/qemu",
  ]);
});

test("an unknown key is refused with its line and the nearest known one", () => {
  assert.equal(
    complaint("hypervisor:\n  cpus: 2\n  memoryMB: 512\n"),
    "c.yaml:3: unknown key hypervisor.memoryMB; needed: a known one, the nearest is memoryMiB",
  );
  assert.equal(
    complaint("hypervizor: {}\n"),
    "c.yaml:1: unknown key hypervizor; needed: a known one, the nearest is hypervisor",
  );
});

test("a value of another kind is refused with what is needed", () => {
  assert.equal(
    complaint("hypervisor:\n  cpus: many\n"),
    'c.yaml:2: hypervisor.cpus is "many"; needed: a whole number from 1 to 255',
  );
  const bad: Readonly<Record<string, RegExp>> = {
    "hypervisor: { cpus: 0 }": /whole number from 1 to 255/,
    "hypervisor: { cpus: 1.5 }": /whole number/,
    "hypervisor: { cpus: }": /cpus is null/,
    "hypervisor: { argv: [] }": /a command/,
    'hypervisor: { argv: "" }': /a command/,
    "hypervisor: { argv: [qemu, 3] }": /a command/,
    "hypervisor: { env: [A] }": /mapping of names to strings/,
    "hypervisor: { env: { A: 1 } }": /mapping of names to strings/,
    "hypervisor: { accelerator: xen }": /one of auto, kvm, tcg/,
    "hypervisor: { kernel: vmlinuz }": /absolute path/,
    "daemon: { dax: maybe }": /on or off/,
    "daemon: { daxWindowMiB: 100 }": /power of two from 2 to 512, in MiB/,
    "timeLimits: { bootSeconds: 0 }": /a number from 1 to 3600, in seconds/,
    "timeLimits: { bootSeconds: .nan }": /bootSeconds is null; needed: a number/,
    "hypervisor: [cpus]": /hypervisor is \["cpus"\]; needed: a mapping/,
    "- hypervisor": /the configuration is .*; needed: a mapping/,
  };
  for (const [yaml, expected] of Object.entries(bad)) assert.match(complaint(yaml), expected);
});

test("text that is not YAML is refused with its line", () => {
  assert.match(complaint("hypervisor:\n  cpus: [1\n"), /^c\.yaml:[23]: /);
  assert.match(complaint("guest: {}\nguest: {}\n"), /^c\.yaml:2: Map keys must be unique/);
});

test("keys of JavaScript's objects are no keys of ours", () => {
  assert.match(complaint("hypervisor: { constructor: 1 }"), /unknown key hypervisor\.constructor/);
  assert.match(complaint("__proto__: {}"), /unknown key __proto__/);
});

test("the line is that of the key, whatever its value is", () => {
  const lineIn = (yaml: string, line: string) =>
    assert.throws(
      () => parseConfiguration(yaml, "c.yaml"),
      (error: Error) => error.message.startsWith(`c.yaml:${line}: `),
    );
  lineIn("hypervizor:\n  cpus: 1\n", "1");
  lineIn("hypervisor:\n  cpus:\n    many: 1\n", "2");
  lineIn("guest: {}\n1: 2\n", "2");
});
