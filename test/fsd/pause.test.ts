import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Toolchain } from "../../setup/toolchain.js";
import { QmpClient } from "../../shim/vm/qmp.js";
import { project, toolchain } from "../e2e/machine.js";
import { daxDevice, FileSystemDaemon, plainDevice } from "../guest/file-system-daemon.js";
import { type GuestOptions, runGuest } from "../guest/run-guest.js";

// QEMU's stop and cont make it stop the queues of each vhost-user device and start them again, as at a reset of the machine.

const PAUSES = 3;
const PAUSE_MS = 300;
const LIMIT_MS = 60_000;
const MAPPED_BYTES = 4 << 20;
const RANGE_SHIFT = 21;
/** Longer than QEMU takes to be paused and to go on. */
const GUEST_WAITS_S = 6;

/** What the guest keeps over the pauses: an open file, one that it appends to all the time, a working directory. */
const SCRIPT = `
  mount -t virtiofs data /mnt
  exec 3</mnt/file
  dd bs=1 count=4 <&3 2>/dev/null
  mkdir /mnt/directory
  cd /mnt/directory
  count=0
  while [ ! -e ../go ]; do
    echo $count >>../log || echo failed
    count=$((count + 1))
  done
  echo $count
  cat <&3
  echo kept >here
`;

async function appears(path: string): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!existsSync(path)) {
    assert.ok(performance.now() < deadline, `${path} does not appear`);
    await delay(50);
  }
}

async function grows(path: string): Promise<void> {
  const before = (await readFile(path)).length;
  const deadline = performance.now() + LIMIT_MS;
  while ((await readFile(path)).length === before) {
    assert.ok(performance.now() < deadline, `${path} does not grow`);
    await delay(50);
  }
}

async function pauseAndGoOn(
  t: TestContext,
  qemu: Pick<Toolchain["qemu"], "argv" | "env">,
  device: (socket: string, tag: string) => string[],
  daemonArgs: readonly string[],
  processor: Pick<GuestOptions, "cpu"> = {},
): Promise<void> {
  const { kernel, guestRoot: tools } = await toolchain();
  const base = await mkdtemp(join(tmpdir(), "kata-fsd-pause-"));
  t.after(() => rm(base, { recursive: true, force: true }));
  const shared = join(base, "shared");
  const [socket, monitor] = [join(base, "fs.sock"), join(base, "qmp.sock")];
  await mkdir(shared);
  await writeFile(join(shared, "file"), "open file\n");
  const program = join(project, "dist/bin/kata-fsd");
  const daemon = await FileSystemDaemon.start([
    ...[program, "--socket-path", socket, "--shared-dir", shared, "--cache", "never"],
    ...daemonArgs,
  ]);
  t.after(() => daemon.kill());
  const guest = runGuest({
    ...{ qemu, kernel, tools, ...processor, script: SCRIPT },
    devices: [...device(socket, "data"), "-qmp", `unix:${monitor},server=on,wait=off`],
  });
  const paused = (async () => {
    const log = join(shared, "log");
    await appears(log);
    const stream = connect(monitor);
    await once(stream, "connect");
    const qmp = await QmpClient.connect(stream, () => {});
    for (let pause = 0; pause < PAUSES; pause++) {
      await grows(log);
      await qmp.execute("stop");
      await delay(PAUSE_MS);
      await qmp.execute("cont");
    }
    await grows(log);
    qmp.close();
    await writeFile(join(shared, "go"), "");
  })();
  const [outcome] = await Promise.all([guest, paused]);
  assert.equal(outcome.status, 0, `${outcome.output}${outcome.console}`);
  const lines = (await readFile(join(shared, "log"), "utf8")).trim().split("\n");
  assert.equal(outcome.output, `open${lines.length}\n file\n`);
  assert.deepEqual(
    lines,
    lines.map((_, index) => String(index)),
    "each line was written once, in its place",
  );
  assert.equal(await readFile(join(shared, "directory/here"), "utf8"), "kept\n");
  assert.equal(await daemon.ended(), 0, daemon.lines.join("\n"));
}

test("a machine of QEMU 11.1 that was paused goes on with its files", async (t) => {
  await pauseAndGoOn(t, (await toolchain()).qemu, plainDevice, []);
});

test("so does one whose device has a DAX window", async (t) => {
  await pauseAndGoOn(t, (await toolchain()).qemu, daxDevice, ["--tag", "data", "--dax", "inode"]);
});

test("so does a machine of QEMU 7.2", async (t) => {
  const qemu = (await toolchain()).testing?.qemu["7.2"];
  assert.ok(qemu, "set-up brought no QEMU 7.2");
  // See stand-alone.test.ts.
  await pauseAndGoOn(t, qemu, plainDevice, [], { cpu: "max,-cx16" });
});

test("what is mapped into the guest stays mapped, and more can be", async (t) => {
  const { qemu, kernel, guestRoot: tools } = await toolchain();
  const base = await mkdtemp(join(tmpdir(), "kata-fsd-pause-"));
  t.after(() => rm(base, { recursive: true, force: true }));
  const shared = join(base, "shared");
  const [socket, monitor, metrics] = ["fs", "qmp", "metrics"].map((name) => join(base, `${name}.sock`));
  assert.ok(socket && monitor && metrics);
  await mkdir(shared);
  const contents = ["first", "second"].map((name) => ({ name, content: randomBytes(MAPPED_BYTES) }));
  for (const { name, content } of contents) await writeFile(join(shared, name), content);
  const program = join(project, "dist/bin/kata-fsd");
  const daemon = await FileSystemDaemon.start([
    ...[program, "--socket-path", socket, "--shared-dir", shared, "--metrics-socket", metrics],
    ...["--tag", "data", "--readonly", "--cache", "always", "--dax", "always"],
  ]);
  t.after(() => daemon.kill());
  const script = `
    mount -t virtiofs -o dax=always,ro data /mnt
    md5sum </mnt/first
    sleep ${GUEST_WAITS_S}
    md5sum </mnt/first
    md5sum </mnt/second
  `;
  const guest = runGuest({
    ...{ qemu, kernel, tools, script },
    devices: [...daxDevice(socket, "data"), "-qmp", `unix:${monitor},server=on,wait=off`],
  });
  const paused = (async () => {
    const ranges = MAPPED_BYTES >> RANGE_SHIFT;
    const deadline = performance.now() + LIMIT_MS;
    while ((await liveRanges(metrics)) < ranges) {
      assert.ok(performance.now() < deadline, "nothing is mapped");
      await delay(50);
    }
    const stream = connect(monitor);
    await once(stream, "connect");
    const qmp = await QmpClient.connect(stream, () => {});
    await qmp.execute("stop");
    await delay(PAUSE_MS);
    assert.equal(await liveRanges(metrics), ranges);
    await qmp.execute("cont");
    qmp.close();
  })();
  const [outcome] = await Promise.all([guest, paused]);
  assert.equal(outcome.status, 0, `${outcome.output}${outcome.console}`);
  const [first, second] = contents.map(({ content }) => createHash("md5").update(content).digest("hex"));
  assert.equal(outcome.output, [first, first, second].map((sum) => `${sum}  -\n`).join(""));
  assert.equal(await daemon.ended(), 0, daemon.lines.join("\n"));
});

async function liveRanges(metrics: string): Promise<number> {
  const chunks: string[] = [];
  for await (const chunk of connect(metrics).setEncoding("utf8")) chunks.push(chunk);
  return JSON.parse(chunks.join("")).devices[0]?.dax.liveRanges ?? 0;
}
