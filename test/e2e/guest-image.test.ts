import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { GuestLayout } from "../../guest/layout.js";
import { privateDirectory } from "../../setup/private-directory.js";
import { cpio } from "./cpio.js";
import { execute, Machine, toolchain } from "./machine.js";

const DIRECTORY = 0o040755;
const PROGRAM = 0o100755;
/** Room for the guest's programs, and for what ext4 needs itself. */
const IMAGE_BYTES = 256 * 2 ** 20;

/** Kata's kernels have the disk's driver built in; Debian's have it as a module, which an initrd has to load. */
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod $module; done
/bin/busybox mount -t ext4 -o ro /dev/vda /root
exec /bin/busybox switch_root /root /sbin/init
`;

/** An initrd that mounts the disk and starts what is there. */
async function initrd(guestRoot: string): Promise<Buffer> {
  const list = await readFile(join(guestRoot, GuestLayout.moduleList), "utf8");
  const module = list.split("\n").find((path) => basename(path) === "virtio_blk.ko");
  assert.ok(module, "set-up brought no virtio_blk");
  return cpio([
    ...["bin", "dev", "modules", "root"].map((name) => ({ name, mode: DIRECTORY })),
    {
      name: "bin/busybox",
      mode: PROGRAM,
      contents: await readFile(join(guestRoot, "usr/bin/busybox")),
    },
    { name: "modules/virtio_blk.ko", mode: PROGRAM, contents: await readFile(join(guestRoot, module)) },
    { name: "init", mode: PROGRAM, contents: Buffer.from(INIT) },
  ]);
}

describe("a guest that boots from an image, made ready by an initrd", () => {
  let scratch: string;
  let machine: Machine;

  before(async () => {
    const { guestRoot } = await toolchain();
    const test = join(privateDirectory().path, "test");
    await mkdir(test, { recursive: true });
    scratch = await mkdtemp(join(test, "image-"));
    // QEMU's user reads them.
    await chmod(scratch, 0o755);
    const files = { image: join(scratch, "guest.img"), initrd: join(scratch, "initrd") };
    await writeFile(files.initrd, await initrd(guestRoot));
    await writeFile(files.image, "");
    await truncate(files.image, IMAGE_BYTES);
    const made = await execute(["mkfs.ext4", "-q", "-d", guestRoot, files.image]);
    assert.equal(made.status, 0, made.stderr);
    machine = await Machine.start("1.7", { guest: { ...files, imagePartition: 0 } });
  });
  after(async () => {
    await machine?.stop();
    await rm(scratch, { recursive: true, force: true });
  });

  it("runs containers from layers with DAX, and its own root is the disk", async () => {
    const script = "cat /proc/self/mountinfo; cat /proc/cmdline; md5sum /data/sample.bin; exit 3";
    const { status, stdout, stderr } = await machine.run("image", ["/bin/sh", "-c", script]);
    assert.equal(status, 3, stderr + (await machine.containerd.logTail(40)));
    const text = stdout.toString();
    assert.match(text, / - overlay overlay .*lowerdir=/);
    assert.match(text, /root=\/dev\/vda rootfstype=ext4/);
    assert.doesNotMatch(text, /kataGuest/);
    assert.ok(text.includes(machine.sampleMd5), text);
    assert.deepEqual(await machine.leftovers(), []);
  });
});
