import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { probeQemu, requireDax } from "./probe.js";
import { QemuError } from "./qemu-process.js";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-fs-probe-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A program that answers as some QEMU does and notes each of its runs. */
function program(script: string): string {
  const file = join(directory, "qemu");
  writeFileSync(file, `#!/bin/sh\necho "$*" >> ${directory}/runs\n${script}\n`, { mode: 0o755 });
  return file;
}

const runs = () => readFileSync(join(directory, "runs"), "utf8").trim().split("\n").sort();

const NEW = `case $1 in
-version) echo "QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1)" ;;
*) [ -n "$HAS_DEVICE" ] || { echo "Device 'x' not found" >&2; exit 1; } ;;
esac`;

test("asks a QEMU once, until it changes", async () => {
  const command = { argv: [program(NEW)], env: { HAS_DEVICE: "1" } };
  const cache = join(directory, "cache");
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await probeQemu(command, cache), { version: "11.1.3", hasDaxDevice: true });
  }
  assert.deepEqual(runs(), ["-machine none -device vhost-user-test-device-pci,help", "-version"]);
  assert.equal((await probeQemu({ ...command, env: {} }, cache)).hasDaxDevice, false);
  assert.equal(runs().length, 4);
  appendFileSync(command.argv[0] ?? "", "# a new build\n");
  await probeQemu(command, cache);
  assert.equal(runs().length, 6);
});

test("a damaged record is no answer", async () => {
  const command = { argv: [program(NEW)], env: {} };
  await probeQemu(command, directory);
  const record = readdirSync(directory).find((name) => name.startsWith(".qemu-")) ?? "";
  writeFileSync(join(directory, record), '{"version": 11}');
  assert.equal((await probeQemu(command, directory)).version, "11.1.3");
});

test("names what is no QEMU, and what does not start", async () => {
  const probe = (argv: string[]) => probeQemu({ argv, env: {} }, join(directory, "cache"));
  await assert.rejects(probe([program("echo busybox")]), /qemu is no QEMU: it says busybox/);
  await assert.rejects(
    probe([program("echo no libfoo.so >&2; exit 127")]),
    /cannot be started: .*no libfoo\.so$/,
  );
  await assert.rejects(probe([join(directory, "missing")]), /cannot be started: .*ENOENT/);
  mkdirSync(join(directory, "folder"));
  await assert.rejects(probe([join(directory, "folder")]), QemuError);
});

test("DAX needs QEMU 11.1 and the device", () => {
  const check = (version: string, hasDaxDevice = true) =>
    requireDax({ version, hasDaxDevice }, { argv: ["/usr/bin/qemu"], env: {} });
  check("11.1.0");
  check("12.0.0");
  assert.throws(
    () => check("11.0.1"),
    /\/usr\/bin\/qemu is QEMU 11\.0\.1, which has no DAX; needed: 11\.1 or newer/,
  );
  assert.throws(() => check("7.2.22"), /QEMU 7\.2\.22, /);
  assert.throws(() => check("11.1.3", false), /QEMU 11\.1\.3 without the device vhost-user-test-device-pci/);
});
