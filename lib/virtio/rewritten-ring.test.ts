import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { TestMemory } from "../vhost-user/testing/test-memory.js";
import { GuestMemory } from "./guest-memory.js";
import { SplitVirtqueue } from "./split-virtqueue.js";
import { VirtqueueError } from "./virtqueue-error.js";

const MEMORY_BYTES = 0x8000;
const SIZE = 16;
const TABLE = 0;
const AVAIL = 0x1000;
const USED = 0x2000;
/** An indirect table, and buffers behind it. */
const INDIRECT = 0x3000;
const BUFFERS = 0x4000;
const ROUNDS = 20_000;

/**
 * Runs in a second thread, on the same memory: flips the fields that a device must not read twice between values that are right and
 * values that are not, as fast as it can.
 */
const HAMMER = `
const { workerData } = require("node:worker_threads");
const koffi = require("koffi");
const { fd, bytes, stop } = workerData;
const mmap = koffi.load("libc.so.6").func("intptr_t mmap(void *, size_t, int, int, int, int64_t)");
const view = new DataView(koffi.view(BigInt(mmap(null, bytes, 3, 1, fd, 0)), bytes));
const flag = new Int32Array(stop);
Atomics.store(flag, 1, 1);
Atomics.notify(flag, 1);
for (let turn = 0; Atomics.load(flag, 0) === 0; turn++) {
  const isWrong = turn % 2 === 1;
  for (const table of [${TABLE}, ${INDIRECT}]) {
    for (let index = 0; index < 4; index++) {
      const at = table + 16 * index;
      view.setUint32(at + 4, isWrong ? 0xffff : 0, true);
      view.setUint32(at + 8, isWrong ? 0xfffffff0 : 64, true);
      view.setUint16(at + 14, isWrong ? 0xffff : index + 1, true);
    }
  }
  view.setUint16(${AVAIL} + 4, isWrong ? 0xffff : 0, true);
}
`;

test("a ring that another thread rewrites leads nowhere outside of memory", async (t) => {
  const ram = new TestMemory(MEMORY_BYTES);
  const memory = new GuestMemory();
  memory.add({ guestAddress: 0, sizeBytes: MEMORY_BYTES, userAddress: 0, mmapOffset: 0, fd: ram.fd });
  const stop = new SharedArrayBuffer(8);
  const flag = new Int32Array(stop);
  for (let index = 0; index < 4; index++) {
    // Two chains of four: plain ones, and those of the table that descriptor 8 refers to.
    for (const table of [TABLE, INDIRECT]) {
      const at = table + 16 * index;
      ram.bytes.writeBigUInt64LE(BigInt(BUFFERS + 64 * index), at);
      ram.bytes.writeUInt32LE(64, at + 8);
      ram.bytes.writeUInt16LE((index < 3 ? 1 : 0) | (index > 1 ? 2 : 0), at + 12);
      ram.bytes.writeUInt16LE(index + 1, at + 14);
    }
  }
  ram.bytes.writeBigUInt64LE(BigInt(INDIRECT), TABLE + 16 * 8);
  ram.bytes.writeUInt32LE(64, TABLE + 16 * 8 + 8);
  ram.bytes.writeUInt16LE(4, TABLE + 16 * 8 + 12);

  const worker = new Worker(HAMMER, { eval: true, workerData: { fd: ram.fd, bytes: MEMORY_BYTES, stop } });
  const failed = new Promise((_, reject) => worker.on("error", reject));
  t.after(async () => {
    Atomics.store(flag, 0, 1);
    await worker.terminate();
    memory.clear(() => {});
  });
  while (Atomics.load(flag, 1) === 0)
    await Promise.race([failed, new Promise((wait) => setTimeout(wait, 5))]);

  let taken = 0;
  let broken = 0;
  const copy = Buffer.alloc(256);
  for (let round = 0; round < ROUNDS; round++) {
    const state = {
      size: SIZE,
      descriptorAddress: TABLE,
      availAddress: AVAIL,
      usedAddress: USED,
      lastAvail: 0,
    };
    const queue = new SplitVirtqueue(memory, state, true);
    ram.bytes.writeUInt16LE(1, AVAIL + 2);
    if (round % 2 === 1) ram.bytes.writeUInt16LE(8, AVAIL + 4);
    try {
      const head = queue.next();
      const { readable, writable } = queue;
      assert.ok(readable.byteLength + writable.byteLength <= 4 * MEMORY_BYTES);
      assert.equal(readable.copyIn(0, copy, 0, copy.length), Math.min(copy.length, readable.byteLength));
      writable.copyOut(0, copy, 0, copy.length);
      queue.complete(head, 0);
      taken++;
    } catch (error) {
      assert.ok(error instanceof VirtqueueError, String(error));
      broken++;
    }
  }
  assert.ok(taken > 0 && broken > 0, `${taken} chains were right, ${broken} were not: the threads met`);
});
