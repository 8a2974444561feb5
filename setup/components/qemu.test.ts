import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { isAtLeast, probeQemu } from "./qemu.js";

/** A program that answers as a QEMU of some version and with some devices does. */
async function qemuThatSays(context: TestContext, version: string, devices: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rm(directory, { recursive: true }));
  const file = join(directory, "qemu-system-x86_64");
  await writeFile(file, `#!/bin/sh\n[ "$1" = --version ] && echo '${version}' || echo '${devices}'\n`);
  await chmod(file, 0o755);
  return file;
}

test("versions compare by number, not by text", () => {
  assert(isAtLeast("11.1.3", [11, 1]));
  assert(isAtLeast("11.10", [11, 2]));
  assert(isAtLeast("100.0.0", [11, 1]));
  assert(!isAtLeast("11.0.9", [11, 1]));
  assert(!isAtLeast("9.2.0", [11, 1]));
});

test("a QEMU that is too old is named with its version and place", async (context) => {
  const file = await qemuThatSays(context, "QEMU emulator version 7.2.15 (Debian 1:7.2+dfsg-7)", "");
  await assert.rejects(probeQemu({ argv: [file], env: {} }, true), {
    name: "SetupError",
    message: `QEMU 7.2.15 at ${file}; needed: QEMU 11.1 or newer for DAX, or "dax: off" in the configuration`,
  });
});

test("a QEMU that is new enough but built without the device is refused", async (context) => {
  const file = await qemuThatSays(
    context,
    "QEMU emulator version 11.1.3",
    'name "vhost-user-fs-pci", bus PCI',
  );
  await assert.rejects(probeQemu({ argv: [file], env: {} }, true), /without vhost-user-test-device-pci/);
});

test("a QEMU with version and device is taken", async (context) => {
  const file = await qemuThatSays(
    context,
    "QEMU emulator version 11.1.3",
    'name "vhost-user-test-device-pci", bus PCI',
  );
  assert.equal((await probeQemu({ argv: [file], env: {} }, true)).version, "11.1.3");
});

test("without DAX an older QEMU with virtio-fs will do", async (context) => {
  const file = await qemuThatSays(
    context,
    "QEMU emulator version 7.2.15",
    'name "vhost-user-fs-pci", bus PCI',
  );
  assert.equal((await probeQemu({ argv: [file], env: {} }, false)).version, "7.2.15");
});

test("no QEMU at all", async () => {
  await assert.rejects(probeQemu({ argv: ["/nonexistent/qemu"], env: {} }, true), {
    name: "SetupError",
    message: /^no QEMU at \/nonexistent\/qemu: .*ENOENT.*; needed: QEMU 11\.1 or newer/,
  });
});
