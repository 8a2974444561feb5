import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import { close } from "../sys/file.js";
import { Iovecs } from "../sys/iovec.js";
import {
  type TestDescriptor,
  TestDriver,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "../vhost-user/testing/test-driver.js";
import { TestMemory } from "../vhost-user/testing/test-memory.js";
import { GuestMemory } from "./guest-memory.js";
import type { GuestSegments } from "./guest-segments.js";
import { SplitVirtqueue, type VringState } from "./split-virtqueue.js";
import { VirtqueueError } from "./virtqueue-error.js";

const USER = 0x7f00_0000_0000;
const PAGE = 4096;
const RAM_BYTES = 16 * PAGE;
/** Behind a hole of one page, two pages that the device may only read; then nothing. */
const READ_ONLY = RAM_BYTES + PAGE;
const READ_ONLY_BYTES = 2 * PAGE;

interface Rig {
  readonly ram: TestMemory;
  readonly memory: GuestMemory;
  readonly driver: TestDriver;
  readonly state: VringState;
  open(hasEventIdx?: boolean): SplitVirtqueue;
}

function rig(t: TestContext, size: number, startIndex = 0): Rig {
  const ram = new TestMemory(RAM_BYTES);
  const rom = new TestMemory(READ_ONLY_BYTES);
  rom.bytes.fill("read-only ");
  const memory = new GuestMemory();
  const add = (file: TestMemory, guestAddress: number, mode: "r" | "r+") =>
    memory.add({
      guestAddress,
      sizeBytes: file.byteLength,
      userAddress: USER + guestAddress,
      mmapOffset: 0,
      fd: openSync(`/proc/self/fd/${file.fd}`, mode),
    });
  add(ram, 0, "r+");
  add(rom, READ_ONLY, "r");
  const driver = new TestDriver(ram, size);
  const state = {
    size,
    descriptorAddress: USER + driver.descriptorTable,
    availAddress: USER + driver.availRing,
    usedAddress: USER + driver.usedRing,
    lastAvail: startIndex,
  };
  t.after(() => {
    memory.clear(() => {});
    close(ram.fd);
    close(rom.fd);
  });
  return {
    ram,
    memory,
    driver,
    state,
    open: (hasEventIdx = false) => new SplitVirtqueue(memory, state, hasEventIdx),
  };
}

function bytesOf(segments: GuestSegments): Buffer {
  const bytes = Buffer.alloc(segments.byteLength);
  assert.equal(segments.copyIn(0, bytes, 0, bytes.length), bytes.length);
  return bytes;
}

describe("SplitVirtqueue", () => {
  it("refuses rings that cannot be", (t) => {
    const { memory, state } = rig(t, 8);
    const wrong: Partial<VringState>[] = [
      { size: 0 },
      { size: 12 },
      { size: 65536 },
      { size: 2 ** 32 - 1 },
      { descriptorAddress: USER - 16 },
      { descriptorAddress: USER + RAM_BYTES - 16 },
      { descriptorAddress: USER + 8 },
      { descriptorAddress: USER + READ_ONLY },
      { availAddress: USER + RAM_BYTES - 20 },
      { availAddress: USER + 1 },
      { usedAddress: USER + RAM_BYTES - 68 },
      { usedAddress: USER + 2 },
      { usedAddress: 0 },
      { usedAddress: Number.MAX_SAFE_INTEGER },
    ];
    for (const change of wrong) {
      const what = JSON.stringify(change);
      assert.throws(() => new SplitVirtqueue(memory, { ...state, ...change }, true), VirtqueueError, what);
    }
  });

  it("refuses rings that are aligned in the guest's eyes only", (t) => {
    const { ram, state } = rig(t, 8);
    const memory = new GuestMemory();
    t.after(() => memory.clear(() => {}));
    const fd = openSync(`/proc/self/fd/${ram.fd}`, "r+");
    memory.add({ guestAddress: 0, sizeBytes: PAGE, userAddress: USER - 1, mmapOffset: 1, fd });
    assert.throws(() => new SplitVirtqueue(memory, state, true), VirtqueueError);
  });

  it("takes a chain as long as the queue, in the table or in an indirect one, and no longer one", (t) => {
    const { driver, open, ram } = rig(t, 4);
    const queue = open();
    const data = ram.allocate(64);
    const table = ram.allocate(5 * 16);
    const chain = (count: number, into: number) => {
      for (let index = 0; index < count; index++) {
        const flags = index < count - 1 ? VIRTQ_DESC_F_NEXT : 0;
        driver.setDescriptor(index, { address: data + index, length: 1, flags, next: index + 1 }, into);
      }
    };
    ram.bytes.write("abcde", data);
    chain(4, driver.descriptorTable);
    driver.offer(0);
    assert.equal(queue.next(), 0);
    assert.equal(bytesOf(queue.readable).toString(), "abcd");
    const indirect = (count: number) => {
      chain(count, table);
      driver.setDescriptor(3, { address: table, length: count * 16, flags: VIRTQ_DESC_F_INDIRECT, next: 0 });
      driver.offer(3);
    };
    indirect(4);
    assert.equal(queue.next(), 3);
    assert.equal(bytesOf(queue.readable).toString(), "abcd");
    indirect(5);
    assert.throws(() => queue.next(), VirtqueueError);
  });

  it("reads, from any bytes, what an independent reading of them gives, or refuses", (t) => {
    const size = 8;
    const { driver, ram, state, open } = rig(t, size);
    const table = ram.allocate(16 * 16);
    ram.bytes.fill("0123456789abcdef", 8 * PAGE);
    const near = (...values: number[]) => fc.constantFrom(...values);
    const address = fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 8 * PAGE, max: RAM_BYTES - 1 }) },
      { weight: 2, arbitrary: fc.integer({ min: READ_ONLY, max: READ_ONLY + READ_ONLY_BYTES - 1 }) },
      { weight: 2, arbitrary: fc.constant(table) },
      near(
        0,
        RAM_BYTES - 1,
        RAM_BYTES,
        READ_ONLY - 1,
        READ_ONLY + READ_ONLY_BYTES,
        2 ** 52,
        2 ** 53,
        2 ** 63,
      ),
    );
    const length = fc.oneof(
      { weight: 4, arbitrary: fc.nat(300) },
      near(0, 16, 32, 64, 128, PAGE, 0x7fff_ffff, 0xffff_ffff),
    );
    const descriptor = fc.record<TestDescriptor>({
      address,
      length,
      flags: fc.oneof({ weight: 8, arbitrary: fc.nat(7) }, fc.nat(0xffff)),
      next: fc.oneof({ weight: 8, arbitrary: fc.nat(size - 1) }, fc.nat(0xffff)),
    });
    const iovecs = new Iovecs(64);
    const seen = { taken: 0, refused: 0 };
    fc.assert(
      fc.property(
        fc.array(descriptor, { minLength: size, maxLength: size }),
        fc.array(descriptor, { minLength: size, maxLength: size }),
        fc.oneof({ weight: 8, arbitrary: fc.nat(size - 1) }, fc.nat(0xffff)),
        (direct, indirect, head) => {
          for (const [index, one] of direct.entries()) driver.setDescriptor(index, one);
          for (const [index, one] of indirect.entries()) driver.setDescriptor(index, one, table);
          state.lastAvail = 0;
          ram.bytes.writeUInt16LE(head, driver.availRing + 4);
          driver.setAvailIndex(1);
          const expected = readChain(ram, driver.descriptorTable, size, head);
          const queue = open();
          if (expected === undefined) {
            seen.refused++;
            assert.throws(() => queue.next(), VirtqueueError);
            assert.equal(state.lastAvail, 0, "a refused request stays where it is");
            return;
          }
          seen.taken++;
          assert.equal(queue.next(), head);
          for (const kind of ["readable", "writable"] as const) {
            const list = queue[kind];
            assert.equal(list.byteLength, total(expected[kind]));
            const written = list.toIovecs(0, list.byteLength, iovecs);
            assert.ok(written <= list.count);
          }
          const wanted = Buffer.concat(
            expected.readable.map(([at, count]) =>
              at >= READ_ONLY
                ? Buffer.alloc(READ_ONLY_BYTES, "read-only ").subarray(at - READ_ONLY, at - READ_ONLY + count)
                : ram.bytes.subarray(at, at + count),
            ),
          );
          assert.deepEqual(bytesOf(queue.readable), wanted);
        },
      ),
      { numRuns: 3000 },
    );
    assert.ok(seen.taken > 50 && seen.refused > 50, JSON.stringify(seen));
  });

  it("throws nothing but a VirtqueueError, whatever is in the rings, and leaves the rest of memory alone", (t) => {
    const size = 16;
    const { driver, ram, state, open } = rig(t, size);
    const ringsEnd = ram.used;
    const rest = Buffer.from(ram.bytes.subarray(ringsEnd));
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: ringsEnd, maxLength: ringsEnd }),
        fc.nat(0xffff),
        fc.nat(20),
        fc.boolean(),
        (noise, lastAvail, ahead, hasEventIdx) => {
          ram.bytes.set(noise);
          driver.setAvailIndex(lastAvail + ahead);
          for (let index = 0; index < size; index++) {
            const at = driver.descriptorTable + 16 * index;
            // Else hardly any address would lie in memory, and hardly any chain have an end.
            if ((noise[index] ?? 0) < 128) ram.bytes.writeBigUInt64LE(BigInt(ringsEnd + index), at);
            ram.bytes.writeUInt32LE((noise[index] ?? 0) * 8, at + 8);
            ram.bytes.writeUInt16LE((noise[16 + index] ?? 0) & 3, at + 12);
            ram.bytes.writeUInt16LE((noise[32 + index] ?? 0) & 15, at + 14);
            ram.bytes.writeUInt16LE((noise[48 + index] ?? 0) & 15, driver.availRing + 4 + 2 * index);
          }
          state.lastAvail = lastAvail;
          const queue = open(hasEventIdx);
          let taken = 0;
          try {
            queue.suppressNotifications();
            for (let head = queue.next(); head >= 0; head = queue.next()) {
              assert.ok(++taken <= size);
              queue.complete(head, queue.writable.byteLength);
              queue.publish();
            }
            queue.requestNotifications();
          } catch (error) {
            assert.ok(error instanceof VirtqueueError, String(error));
          }
          assert.ok(ram.bytes.subarray(ringsEnd).equals(rest));
        },
      ),
      { numRuns: 1500 },
    );
  });

  for (const startIndex of [0, 65_530]) {
    it(`goes on past 2^16 requests from ${startIndex}, in order, each given back once`, (t) => {
      const { driver, open, ram, state } = rig(t, 4, startIndex);
      ram.bytes.writeUInt16LE(startIndex, driver.availRing + 2);
      ram.bytes.writeUInt16LE(startIndex, driver.usedRing + 2);
      const data = ram.allocate(16);
      for (let head = 0; head < 4; head++) driver.setChain(head, [], [[data, 16]]);
      const queue = open();
      let avail = startIndex;
      for (let round = 0; round < 70_000; round++) {
        const head = (round * 3) % 4;
        ram.bytes.writeUInt16LE(head, driver.availRing + 4 + 2 * (avail % 4));
        avail = (avail + 1) & 0xffff;
        ram.bytes.writeUInt16LE(avail, driver.availRing + 2);
        if (queue.next() !== head || queue.next() !== -1) assert.fail(`round ${round}`);
        const at = driver.usedRing + 4 + 8 * ((startIndex + round) % 4);
        queue.complete(head, round);
        assert.ok(queue.publish(), "VIRTQ_AVAIL_F_NO_INTERRUPT is not set");
        if (ram.bytes.readUInt16LE(driver.usedRing + 2) !== avail) assert.fail(`used index, round ${round}`);
        if (ram.bytes.readUInt32LE(at) !== head || ram.bytes.readUInt32LE(at + 4) !== round)
          assert.fail(`used element, round ${round}`);
      }
      assert.equal(state.lastAvail, avail);
    });
  }

  it("refuses an available index that is further ahead than the queue is long", (t) => {
    for (const [last, index] of [
      [0, 5],
      [0, 65_535],
      [65_535, 4],
    ] as const) {
      const { driver, open } = rig(t, 4, last);
      driver.setAvailIndex(index);
      assert.throws(() => open().next(), VirtqueueError);
    }
  });

  it("signals with EVENT_IDX exactly when the driver's index is passed, past 2^16 as well", (t) => {
    fc.assert(
      fc.property(
        fc.nat(0xffff),
        fc.array(fc.record({ count: fc.nat(4), isWaiting: fc.boolean(), ahead: fc.nat(5) }), {
          minLength: 1,
          maxLength: 40,
        }),
        (startIndex, batches) => {
          const { driver, open, ram } = rig(t, 4, startIndex);
          ram.bytes.writeUInt16LE(startIndex, driver.availRing + 2);
          ram.bytes.writeUInt16LE(startIndex, driver.usedRing + 2);
          for (let head = 0; head < 4; head++) driver.setChain(head, [], [[8 * PAGE, 16]]);
          const queue = open(true);
          let used = startIndex;
          let isFirst = true;
          for (const { count, isWaiting, ahead } of batches) {
            // A driver that waits wants the entry that is `ahead` from here; another one has its index behind.
            const event = isWaiting ? used + ahead : used - 1;
            driver.setUsedEvent(event);
            for (let index = 0; index < count; index++) {
              const position = (used + index) & 0xffff;
              ram.bytes.writeUInt16LE(index, driver.availRing + 4 + 2 * (position % 4));
              ram.bytes.writeUInt16LE(position + 1 > 0xffff ? 0 : position + 1, driver.availRing + 2);
              assert.equal(queue.next(), index);
              queue.complete(index, 0);
            }
            // The model counts without wrapping: entries used..used+count-1 are new.
            const passes = isWaiting && ahead < count;
            assert.equal(queue.publish(), count > 0 && (passes || isFirst));
            if (count > 0) isFirst = false;
            used = (used + count) & 0xffff;
            assert.equal(queue.requestNotifications(), false);
            assert.equal(driver.availEvent, used, "asks for the next entry");
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it("without EVENT_IDX goes by the flags of both sides", (t) => {
    const { driver, open, ram } = rig(t, 4);
    driver.setChain(0, [], [[8 * PAGE, 16]]);
    const queue = open();
    queue.suppressNotifications();
    assert.equal(ram.bytes.readUInt16LE(driver.usedRing), 1);
    driver.offer(0);
    assert.equal(queue.requestNotifications(), true, "a request that came in between is not missed");
    assert.equal(ram.bytes.readUInt16LE(driver.usedRing), 0);
    ram.bytes.writeUInt16LE(1, driver.availRing);
    queue.complete(queue.next(), 0);
    assert.equal(queue.publish(), false);
  });

  it("puts back what was taken and not completed", (t) => {
    const { driver, open, state } = rig(t, 4);
    for (const head of [0, 1, 2]) {
      driver.setChain(head, [], [[8 * PAGE, 16]]);
      driver.offer(head);
    }
    const queue = open();
    queue.complete(queue.next(), 0);
    assert.deepEqual([queue.next(), queue.next()], [1, 2]);
    queue.putBack();
    assert.equal(state.lastAvail, 2);
    queue.putBackUnfinished();
    assert.equal(state.lastAvail, 1);
    assert.equal(queue.next(), 1);
  });

  it("breaks on memory that cannot be mapped", (t) => {
    const { driver, memory, open } = rig(t, 4);
    const guestAddress = 2 ** 30;
    const fd = openSync("/proc/self/status", "r");
    memory.add({ guestAddress, sizeBytes: PAGE, userAddress: USER + guestAddress, mmapOffset: 0, fd });
    driver.setChain(0, [[guestAddress, 8]], []);
    driver.offer(0);
    const queue = open();
    assert.throws(() => queue.next(), VirtqueueError);
  });
});

const total = (buffers: readonly [number, number][]) => buffers.reduce((sum, [, length]) => sum + length, 0);

/** What a chain of descriptors means (virtio 1.3, 2.7.5), written for clarity; undefined for one that must be refused. */
function readChain(ram: TestMemory, table: number, size: number, head: number) {
  const readable: [number, number][] = [];
  const writable: [number, number][] = [];
  let base = table;
  let entries = size;
  let index = head;
  let left = size;
  let isIndirect = false;
  for (;;) {
    if (index >= entries) return undefined;
    const at = base + 16 * index;
    const address = Number(ram.bytes.readBigUInt64LE(at));
    const length = ram.bytes.readUInt32LE(at + 8);
    const flags = ram.bytes.readUInt16LE(at + 12);
    if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) {
      if (isIndirect || (flags & VIRTQ_DESC_F_NEXT) !== 0) return undefined;
      // Tests have tables in RAM only: one in read-only memory holds text, which is no chain.
      if (length === 0 || length % 16 !== 0 || !isInMemory(address, length)) return undefined;
      if (address >= READ_ONLY) return undefined;
      [base, entries, index, isIndirect] = [address, length / 16, 0, true];
      continue;
    }
    if (left-- === 0) return undefined;
    const isWritable = (flags & VIRTQ_DESC_F_WRITE) !== 0;
    if (length > 0) {
      if (!isInMemory(address, length)) return undefined;
      if (isWritable && address >= READ_ONLY) return undefined;
      (isWritable ? writable : readable).push([address, length]);
    }
    if (!isWritable && writable.length > 0) return undefined;
    if ((flags & VIRTQ_DESC_F_NEXT) === 0) return { readable, writable };
    index = ram.bytes.readUInt16LE(at + 14);
  }
}

function isInMemory(address: number, length: number): boolean {
  const end = address + length;
  return end <= RAM_BYTES || (address >= READ_ONLY && end <= READ_ONLY + READ_ONLY_BYTES);
}
