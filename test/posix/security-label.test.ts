import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { toolchain } from "../e2e/machine.js";
import { FileSystemDaemon, plainDevice } from "../guest/file-system-daemon.js";
import { runGuest } from "../guest/run-guest.js";
import { kataFsd } from "./run-suite.js";
import { getXattr } from "./suite/calls.js";

/** What SELinux labels an object with while it has no policy. */
const LABEL = "unlabeled\0";

test("what a guest with a security module makes has its label on the host", async (t) => {
  const { qemu, kernel, guestRoot: tools } = await toolchain();
  const base = await mkdtemp(join(tmpdir(), "kata-fs-posix-"));
  t.after(() => rm(base, { recursive: true, force: true }));
  const shared = join(base, "shared");
  await mkdir(shared);
  const socket = join(base, "fs.sock");
  // The host has no such module: there the label is an attribute of root's.
  const options = ["--xattr", "--security-label", "--modcaps=+sys_admin"];
  const daemon = await FileSystemDaemon.start([
    ...[kataFsd, "--socket-path", socket, "--shared-dir", shared],
    ...options,
  ]);
  t.after(() => daemon.kill());
  const { status, output, console } = await runGuest({
    qemu,
    kernel,
    tools,
    devices: plainDevice(socket, "data"),
    kernelParameters: ["security=selinux", "selinux=1", "enforcing=0"],
    script:
      "mount -t virtiofs data /mnt && cd /mnt && touch file && mkdir dir && ln -s x link && mkfifo fifo",
  });
  assert.equal(status, 0, `${output}${console}${daemon.lines.join("\n")}`);
  for (const name of ["file", "dir", "fifo"])
    assert.equal(getXattr(join(shared, name), "security.selinux").toString(), LABEL, name);
});
