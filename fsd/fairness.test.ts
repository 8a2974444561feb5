import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { TestFrontEnd } from "../lib/vhost-user/testing/test-front-end.js";
import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from "./fuse/constants.js";
import { connectGuest } from "./testing/connect-guest.js";
import { HIPRIO, REQUESTS, startDevice } from "./testing/device-machine.js";

const QUEUE_SIZE = 64;
const LOOKS = 20;
const ATTR_OUT_BYTES = 104;
const main = fileURLToPath(new URL("main.ts", import.meta.url));

/** Has as many GETATTRs of the root waiting as fit, from the moment on that they are served: a second thread on the same memory. */
const NEVER_RESTS = `
const { workerData } = require("node:worker_threads");
const koffi = require("koffi");
const { fd, bytes, availIndex, usedIndex, size, stop } = workerData;
const mmap = koffi.load("libc.so.6").func("intptr_t mmap(void *, size_t, int, int, int, int64_t)");
const words = new Uint16Array(koffi.view(BigInt(mmap(null, bytes, 3, 1, fd, 0)), bytes));
const flag = new Int32Array(stop);
Atomics.store(flag, 1, 1);
Atomics.notify(flag, 1);
while (Atomics.load(flag, 0) === 0) Atomics.store(words, availIndex, Atomics.load(words, usedIndex) + size);
`;

/** Puts a GETATTR of the root into each place of the queue's available ring. */
function offerEverywhere(
  { memory, ...frontEnd }: Pick<TestFrontEnd, "memory" | "driver">,
  queue: number,
): void {
  const driver = frontEnd.driver(queue);
  const request = Buffer.alloc(IN_HEADER_BYTES + 16);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt32LE(Opcode.GETATTR, 4);
  request.writeBigUInt64LE(1n, 16);
  const input = memory.allocate(request.length);
  memory.bytes.set(request, input);
  const room = OUT_HEADER_BYTES + ATTR_OUT_BYTES;
  driver.setChain(8, [[input, request.length]], [[memory.allocate(room), room]]);
  for (let entry = 0; entry < driver.size; entry++)
    memory.bytes.writeUInt16LE(8, driver.availRing + 4 + 2 * entry);
}

/** Keeps a queue busy until the end of the test. */
function neverRest(t: TestContext, frontEnd: TestFrontEnd): void {
  const { memory } = frontEnd;
  const driver = frontEnd.driver(REQUESTS);
  offerEverywhere({ memory, driver: (index) => frontEnd.driver(index) }, REQUESTS);
  const stop = new SharedArrayBuffer(8);
  const flag = new Int32Array(stop);
  const worker = new Worker(NEVER_RESTS, {
    eval: true,
    workerData: {
      ...{ fd: memory.fd, bytes: memory.byteLength, size: QUEUE_SIZE, stop },
      availIndex: driver.availRing / 2 + 1,
      usedIndex: driver.usedRing / 2 + 1,
    },
  });
  t.after(async () => {
    Atomics.store(flag, 0, 1);
    await once(worker, "exit");
    frontEnd.close();
  });
  Atomics.wait(flag, 1, 0);
  frontEnd.kick(REQUESTS);
}

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

test("a turn serves some requests of each queue, and knows that there are more", (t) => {
  const { device, frontEnd, guest } = startDevice(t);
  guest.init();
  const used = (queue: number) => frontEnd.memory.bytes.readUInt16LE(frontEnd.driver(queue).usedRing + 2);
  const before = used(REQUESTS);
  for (const queue of [HIPRIO, REQUESTS]) {
    offerEverywhere({ memory: frontEnd.memory, driver: (index) => frontEnd.driver(index) }, queue);
    frontEnd.driver(queue).setAvailIndex(used(queue) + QUEUE_SIZE);
  }
  device.serve();
  assert.deepEqual([used(HIPRIO), used(REQUESTS) - before], [32, 32]);
  assert.ok(device.hasWork);
  device.serve();
  assert.deepEqual([used(HIPRIO), used(REQUESTS) - before], [64, 64]);
  assert.equal(device.hasWork, false);
  assert.notEqual(
    frontEnd.driver(REQUESTS).availEvent,
    used(REQUESTS),
    "nobody need kick a daemon that is awake",
  );
  assert.equal(device.requestKicks(), false);
  assert.equal(
    frontEnd.driver(REQUESTS).availEvent,
    used(REQUESTS),
    "before it sleeps it asks to be told of the next one",
  );
});

test("a request that came before the kick was asked for is not slept over", (t) => {
  const { device, frontEnd, guest } = startDevice(t);
  guest.init();
  offerEverywhere({ memory: frontEnd.memory, driver: (index) => frontEnd.driver(index) }, REQUESTS);
  frontEnd
    .driver(REQUESTS)
    .setAvailIndex(frontEnd.memory.bytes.readUInt16LE(frontEnd.driver(REQUESTS).usedRing + 2) + 1);
  assert.ok(device.requestKicks());
  device.serve();
  assert.equal(device.requestKicks(), false);
});

test("beside a guest that never rests another one is served, and sockets, events and signals", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const [busySocket = "", otherSocket = "", metrics = "", events = ""] = ["a", "b", "m", "e"].map((name) =>
    join(dir, `${name}.sock`),
  );
  const shared = join(dir, "shared");
  mkdirSync(shared);
  writeFileSync(join(shared, "file"), "content");
  const device = ["--shared-dir", shared, "--sandbox", "none", "--seccomp", "none", "--export", "/:shared"];
  const args = [
    ...["--metrics-socket", metrics, "--events-socket", events],
    ...["--socket-path", busySocket, "--tag", "a", ...device],
    ...[
      "--device",
      "--socket-path",
      otherSocket,
      "--tag",
      "b",
      "--shared-dir",
      shared,
      "--export",
      "/:shared",
    ],
  ];
  const child = spawn(process.execPath, ["--import", "tsx", main, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  for await (const chunk of child.stderr.iterator({ destroyOnReturn: false })) {
    said += chunk;
    if (said.includes("b: Waiting for vhost-user socket connection")) break;
  }
  const follower = connect(events);
  const told = once(follower, "data");
  const busy = connectGuest(busySocket);
  neverRest(t, busy.frontEnd);
  const getattrs = async () => {
    const report = JSON.parse(await text(connect(metrics)));
    return report.devices.map(
      ({ requests }: { requests: { FUSE_GETATTR?: number } }) => requests.FUSE_GETATTR ?? 0,
    );
  };

  const [before] = await getattrs();
  const other = connectGuest(otherSocket);
  t.after(() => other.frontEnd.close());
  for (let look = 0; look < LOOKS; look++) assert.equal(other.guest.lookup(1n, "file").attr.size, 7);
  writeFileSync(join(shared, "new"), "");
  assert.match(String(await told), /"name":"new"/);
  const [after] = await getattrs();
  assert.ok(after > before + QUEUE_SIZE, "it has been busy all the time");
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  assert.deepEqual(await exit, [0, null]);
});
