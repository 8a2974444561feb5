import assert from "node:assert/strict";
import { close } from "../../lib/sys/file.js";
import { TestMemory } from "../../lib/vhost-user/testing/test-memory.js";
import { GuestMemory } from "../../lib/virtio/guest-memory.js";
import type { SegmentList } from "../../lib/virtio/segment-list.js";
import { QUEUE_SIZE_MAX, SplitVirtqueue, type VringState } from "../../lib/virtio/split-virtqueue.js";
import { VirtqueueError } from "../../lib/virtio/virtqueue-error.js";
import { Decisions } from "../decisions.js";
import type { FuzzTarget } from "../target.js";

/** Memory of a VM with a hole: two regions that meet, one far behind them. */
const REGION_BYTES = 0x1_0000;
const REGIONS = [
  { guestAddress: 0, userAddress: 0x7f00_0000_0000 },
  { guestAddress: REGION_BYTES, userAddress: 0x7f00_1000_0000 },
  { guestAddress: 0x1_0000_0000, userAddress: 0x7f00_2000_0000 },
] as const;
const SIZES = [1, 2, 4, 8, 16, 64, 256];
/** Byte that memory has where the guest has offered nothing, and that the device writes. */
const GUEST = 0xa5;
const DEVICE = 0x5a;
const DEVICE_BYTES = new Uint8Array(512).fill(DEVICE);
const STEPS_MAX = 24;
/** What a device writes at most in one request. */
const WRITTEN_MAX = 512;

/**
 * A driver that writes descriptors, tables and rings as no driver should, between the steps of a device. Whatever it does, the device
 * takes what lies in guest memory or throws a VirtqueueError, and writes where it was allowed to.
 */
export function createVirtqueueTarget(): FuzzTarget {
  const memories = REGIONS.map(() => new TestMemory(REGION_BYTES));
  const memory = new GuestMemory();
  for (const [index, region] of REGIONS.entries()) {
    memory.add({ ...region, sizeBytes: REGION_BYTES, mmapOffset: 0, fd: memories[index]?.fd ?? -1 });
  }
  const read = new Uint8Array(1024);
  const shadows = memories.map(() => Buffer.alloc(REGION_BYTES));
  return {
    name: "virtqueue",
    covers: /\/lib\/virtio\/[a-z-]+\.ts$/,
    run(input) {
      for (const { bytes } of memories) bytes.fill(GUEST);
      return drive(new Decisions(input), { memories, shadows, memory, read });
    },
    close() {
      memory.clear(() => {});
      for (const { fd } of memories) close(fd);
    },
  };
}

interface Rig {
  readonly memories: readonly TestMemory[];
  /** What the memories should be. */
  readonly shadows: readonly Buffer[];
  readonly memory: GuestMemory;
  /** Room for what the device copies in. */
  readonly read: Uint8Array;
}

function drive(decisions: Decisions, rig: Rig): number {
  const { memories, memory } = rig;
  const [ram] = memories;
  assert.ok(ram);
  const size = decisions.happens(8) ? decisions.number32() : decisions.pick(SIZES);
  const isPlain = !decisions.happens(16);
  const base = REGIONS[0].userAddress;
  const anywhere = () => decisions.pick(REGIONS).userAddress + decisions.uint16();
  const state: VringState = {
    size,
    descriptorAddress: isPlain ? base : anywhere(),
    availAddress: isPlain ? base + 0x2000 : anywhere(),
    usedAddress: isPlain ? base + 0x3000 : anywhere(),
    lastAvail: decisions.happens(32) ? 0xfffe : 0,
  };
  if (isPlain) {
    ram.bytes.fill(0, 0, 0x4800);
    ram.bytes.writeUInt16LE(state.lastAvail, 0x2002);
    ram.bytes.writeUInt16LE(state.lastAvail, 0x3002);
  }
  let queue: SplitVirtqueue;
  try {
    queue = new SplitVirtqueue(memory, state, decisions.happens(128));
  } catch (error) {
    assert.ok(error instanceof VirtqueueError, String(error));
    return 1;
  }
  assert.ok(size >= 1 && size <= QUEUE_SIZE_MAX);
  let chains = 0;
  for (let step = 0; step < STEPS_MAX && !decisions.isOver; step++) {
    guestStep(decisions, memories, size, isPlain);
    try {
      if (isPlain && decisions.happens(64)) queue.requestNotifications();
      const head = queue.next();
      if (head < 0) continue;
      chains++;
      deviceStep(decisions, queue, rig, head);
    } catch (error) {
      assert.ok(error instanceof VirtqueueError, String(error));
      return Math.max(1, chains + 1);
    }
  }
  queue.putBackUnfinished();
  return Math.max(1, chains);
}

/** Writes to the rings what a driver writes, or something else. */
function guestStep(
  decisions: Decisions,
  memories: readonly TestMemory[],
  size: number,
  isPlain: boolean,
): void {
  const bytes = decisions.pick(memories).bytes;
  const table = memories[0]?.bytes;
  assert.ok(table);
  const count = decisions.below(6);
  for (let index = 0; index < count; index++) {
    // The table of the queue, or a place where an indirect one may be.
    const target = decisions.happens(96) ? bytes : table;
    const start = decisions.happens(96) ? 0x8000 + 16 * decisions.below(4) : 0;
    const at = start + 16 * decisions.below(Math.min(64, Math.max(1, size)));
    target.writeBigUInt64LE(addressOf(decisions), at);
    target.writeUInt32LE(decisions.happens(64) ? decisions.number32() : 16 * decisions.below(9), at + 8);
    target.writeUInt16LE(decisions.happens(16) ? decisions.uint16() : decisions.below(8), at + 12);
    target.writeUInt16LE(
      decisions.happens(16) ? decisions.uint16() : decisions.below(Math.min(65536, size + 1)),
      at + 14,
    );
  }
  if (!isPlain) return;
  const availIndex = table.readUInt16LE(0x2002);
  const slot = 0x2004 + 2 * (availIndex & (size - 1));
  if (slot + 2 <= 0x3000)
    table.writeUInt16LE(decisions.happens(16) ? decisions.uint16() : decisions.below(size), slot);
  const jump = decisions.happens(12) ? decisions.uint16() : decisions.below(3);
  table.writeUInt16LE((availIndex + jump) & 0xffff, 0x2002);
  if (decisions.happens(16))
    table.writeUInt16LE(decisions.uint16(), decisions.pick([0x2000, 0x3000, 0x3002]));
}

/** Mostly in memory, often near the end of a region. */
function addressOf(decisions: Decisions): bigint {
  const kind = decisions.byte();
  if (kind < 96) return BigInt(0x8000 + 16 * decisions.below(8));
  const { guestAddress } = decisions.pick(REGIONS);
  if (kind < 160) return BigInt(guestAddress + decisions.uint16());
  if (kind < 224) return BigInt(guestAddress + REGION_BYTES - decisions.below(64));
  return decisions.number64();
}

/** Does what devices do with a request, and checks that nothing lies outside of what was offered. */
function deviceStep(decisions: Decisions, queue: SplitVirtqueue, rig: Rig, head: number): void {
  const { read } = rig;
  const { readable, writable } = queue;
  for (const list of [readable, writable]) {
    assert.ok(list.count <= list.capacity);
    assert.ok(Number.isSafeInteger(list.byteLength) && list.byteLength >= 0);
  }
  const skip = decisions.number32();
  const wanted = decisions.below(read.length);
  const copied = readable.copyIn(skip, read, 0, wanted);
  assert.equal(copied, Math.max(0, Math.min(wanted, readable.byteLength - skip)));
  const length = Math.min(WRITTEN_MAX, decisions.uint16());
  const isWatched = decisions.happens(64);
  if (isWatched) for (const [index, { bytes }] of rig.memories.entries()) rig.shadows[index]?.set(bytes);
  const written = writable.copyOut(skip, DEVICE_BYTES, 0, length);
  if (isWatched) assertOnlyOfferedWritten(rig, writable, skip, written);
  assert.equal(written, Math.max(0, Math.min(length, writable.byteLength - skip)));
  // What was written can be read through the same list: the segments are where they are said to be. Those that overlap show the last.
  if (written > 0) {
    const back = new Uint8Array(written);
    assert.equal(writable.copyIn(skip, back, 0, written), written);
    assert.ok(back.every((byte) => byte === DEVICE));
  }
  let described = 0;
  const iovecs = {
    capacity: 64,
    address: 0,
    set(_index: number, base: number, byteLength: number) {
      assert.ok(base > 4096 && byteLength > 0);
      described += byteLength;
    },
  };
  const count = readable.toIovecs(skip, length, iovecs);
  assert.ok(count <= iovecs.capacity && described <= length);
  if (decisions.happens(24)) queue.putBack();
  else queue.complete(head, written);
  if (decisions.happens(128)) queue.publish();
}

/** Looks at all memory: what `list` covers may have been written, nothing else. */
function assertOnlyOfferedWritten(
  { memories, shadows, memory }: Rig,
  list: SegmentList,
  offset: number,
  length: number,
): void {
  const iovecs = {
    capacity: WRITTEN_MAX,
    address: 0,
    set(_index: number, base: number, byteLength: number) {
      for (const [index, { guestAddress }] of REGIONS.entries()) {
        const from = base - (memory.find(guestAddress)?.hostAddress ?? 0);
        if (from >= 0 && from < REGION_BYTES) shadows[index]?.fill(DEVICE, from, from + byteLength);
      }
    },
  };
  list.toIovecs(offset, length, iovecs);
  for (const [index, { bytes }] of memories.entries()) {
    const shadow = shadows[index];
    assert.ok(shadow?.equals(bytes), `only what was offered is written in region ${index}`);
  }
}
