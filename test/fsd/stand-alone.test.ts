import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { project, toolchain } from "../e2e/machine.js";
import { daxDevice, FileSystemDaemon, plainDevice } from "../guest/file-system-daemon.js";
import { runGuest } from "../guest/run-guest.js";

const kataFsd = join(project, "dist/bin/kata-fsd");
const MiB = 1 << 20;

interface Share {
  readonly directory: string;
  readonly socket: string;
  /** Of the file "large". */
  readonly md5: string;
}

async function share(t: TestContext): Promise<Share> {
  const base = await mkdtemp(join(tmpdir(), "kata-fsd-alone-"));
  t.after(() => rm(base, { recursive: true, force: true }));
  const directory = join(base, "shared");
  await mkdir(directory);
  const large = randomBytes(5 * MiB);
  await writeFile(join(directory, "large"), large);
  return { directory, socket: join(base, "fs.sock"), md5: createHash("md5").update(large).digest("hex") };
}

async function serve(t: TestContext, args: readonly string[]): Promise<FileSystemDaemon> {
  const daemon = await FileSystemDaemon.start([kataFsd, ...args]);
  t.after(() => daemon.kill());
  return daemon;
}

test("QEMU 11.1, DAX: a directory is mounted, and its files are mapped", async (t) => {
  const { qemu, kernel, guestRoot: tools } = await toolchain();
  const { directory, socket, md5 } = await share(t);
  const options = ["--tag", "data", "--readonly", "--cache", "always", "--dax", "always"];
  const daemon = await serve(t, ["--socket-path", socket, "--shared-dir", directory, ...options]);
  const script = `
    set -e
    mount -t virtiofs -o dax=always,ro data /mnt
    md5sum </mnt/large
    grep -o 'dax=always' /proc/mounts
    # A page of the file lies in the window, not in the guest's page cache.
    grep '^Cached' /proc/meminfo >&2
    ! touch /mnt/new 2>/dev/null
  `;
  const { status, output, console } = await runGuest({
    ...{ qemu, kernel, tools, script },
    devices: daxDevice(socket, "data"),
  });
  assert.equal(status, 0, `${output}${console}`);
  assert.ok(output.startsWith(`${md5}  -\ndax=always\n`), output);
  assert.equal(await daemon.ended(), 0);
  assert.ok(!existsSync(socket), "the socket goes with the daemon");
});

test("any QEMU: a directory is mounted, read and written to", async (t) => {
  const { qemu, kernel, guestRoot: tools } = await toolchain();
  const { directory, socket, md5 } = await share(t);
  const daemon = await serve(t, ["--socket-path", socket, "--shared-dir", directory]);
  const script = `
    set -e
    mount -t virtiofs data /mnt
    md5sum </mnt/large
    echo "from the guest" >/mnt/new
    sync
  `;
  const { status, output, console } = await runGuest({
    ...{ qemu, kernel, tools, script },
    devices: plainDevice(socket, "data"),
  });
  assert.equal(status, 0, `${output}${console}`);
  assert.equal(output, `${md5}  -\n`);
  assert.equal(await readFile(join(directory, "new"), "utf8"), "from the guest\n");
  assert.equal(await daemon.ended(), 0);
});
