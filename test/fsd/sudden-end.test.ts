import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GuestLayout } from "../../guest/layout.js";
import { NodeRuntime } from "../../guest/node-runtime.js";
import { project, toolchain } from "../e2e/machine.js";
import { FileSystemDaemon, plainDevice } from "../guest/file-system-daemon.js";
import { runGuest } from "../guest/run-guest.js";

const LIMIT_MS = 150_000;
const MEMORY_MIB = 1024;
const BLOCKS = 64;
const BLOCK = "0123456789abcdef".repeat(64);
const CONTENT = BLOCK.repeat(BLOCKS);

/**
 * Writes files and keeps them open, so that nothing but the call at the end brings to the host what the guest has gathered. Then makes a
 * directory in each share, which is no call that waits.
 */
const PROGRAM = `
const fs = require("node:fs");
const calls = { fsync: fs.fsyncSync, fdatasync: fs.fdatasyncSync, neither: () => {} };
for (const share of process.argv.slice(2)) {
  for (const [name, call] of Object.entries(calls)) {
    const fd = fs.openSync(share + "/" + name, "w");
    for (let count = 0; count < ${BLOCKS}; count++) fs.writeSync(fd, ${JSON.stringify(BLOCK)});
    call(fd);
  }
  const fd = fs.openSync(share + "/O_SYNC", fs.constants.O_CREAT | fs.constants.O_WRONLY | fs.constants.O_SYNC);
  for (let count = 0; count < ${BLOCKS}; count++) fs.writeSync(fd, ${JSON.stringify(BLOCK)});
}
for (const share of process.argv.slice(2)) fs.mkdirSync(share + "/told");
setInterval(() => {}, 1000);
`;

const node = `/tools/${GuestLayout.node}`;
const SCRIPT = `
  mkdir -p /tools /at-once /gathered
  mount -t virtiofs -o ro tools /tools || exit 9
  mount -t virtiofs at-once /at-once || exit 9
  mount -t virtiofs gathered /gathered || exit 9
  exec ${node}/${NodeRuntime.loader} --library-path ${node}/${NodeRuntime.libraries} ${node}/${NodeRuntime.node} \
    /program.cjs /at-once /gathered
`;

test("what a guest has synced of an open file is there when kata-fsd and QEMU are killed", async (t) => {
  const { qemu, kernel, guestRoot } = await toolchain();
  const base = await mkdtemp(join(tmpdir(), "kata-fsd-end-"));
  t.after(() => rm(base, { recursive: true, force: true }));
  const at = (name: string) => join(base, name);
  const socket = (tag: string) => at(`${tag}.sock`);
  const share = (tag: string, directory: string) => [
    ...["--socket-path", socket(tag), "--shared-dir", directory],
  ];
  for (const name of ["at-once", "gathered"]) await mkdir(at(name));
  await writeFile(at("program.cjs"), PROGRAM);
  const daemon = await FileSystemDaemon.start([
    join(project, "dist/bin/kata-fsd"),
    ...share("tools", guestRoot),
    ...["--readonly", "--cache", "always", "--device"],
    ...share("at-once", at("at-once")),
    ...["--cache", "always", "--device"],
    ...share("gathered", at("gathered")),
    ...["--cache", "always", "--writeback"],
  ]);
  t.after(() => daemon.kill());
  const guest = runGuest({
    ...{ qemu, kernel, tools: guestRoot, memoryMiB: MEMORY_MIB, script: SCRIPT },
    files: { "/program.cjs": at("program.cjs") },
    devices: [
      ...["tools", "at-once", "gathered"].flatMap((tag) => plainDevice(socket(tag), tag)),
      ...["-pidfile", at("qemu.pid")],
    ],
    timeLimitMs: LIMIT_MS,
  });
  let hasEnded = false;
  const ended = guest.finally(() => {
    hasEnded = true;
  });
  while (!hasEnded && !existsSync(at("gathered/told"))) await delay(10);
  await daemon.kill();
  if (!hasEnded) process.kill(Number(readFileSync(at("qemu.pid"), "utf8")), "SIGKILL");
  const { output, console } = await ended;
  const found = (share: string) =>
    Object.fromEntries(
      ["fsync", "fdatasync", "O_SYNC", "neither"].map((name) => [
        name,
        readFileSync(join(at(share), name), "latin1") === CONTENT,
      ]),
    );
  const synced = { fsync: true, fdatasync: true, O_SYNC: true };
  assert.ok(existsSync(at("gathered/told")), `${output}${console}`);
  assert.deepEqual(found("at-once"), { ...synced, neither: true });
  // Else nothing would have been gathered, and so nothing shown.
  assert.deepEqual(found("gathered"), { ...synced, neither: false });
});
