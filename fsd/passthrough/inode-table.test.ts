import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { AT_FDCWD } from "../../lib/sys/file.js";
import { FileHandle } from "../../lib/sys/file-handle.js";
import { addressOf, check } from "../../lib/sys/libc.js";
import { Statx } from "../../lib/sys/statx.js";
import { createFsdState, EXTENTS, type FsdState, INODE, INODE_CHUNK } from "../state.js";
import { InodeExtents } from "./inode-extents.js";
import { InodeLocators } from "./inode-locators.js";
import { InodeTable } from "./inode-table.js";

function smallState(inodes: number): FsdState {
  return createFsdState({
    inodes,
    openInodes: 16,
    handles: 16,
    mounts: 16,
    devices: 16,
    daxRanges: 0,
    lockOwners: 1,
    waiters: 0,
  });
}

/** What a real directory looks like. */
function statxOfDirectory(t: TestContext): Statx {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = Buffer.from(`${dir}\0`);
  const statx = new Statx();
  check(statx.readName(AT_FDCWD, addressOf(path.buffer as ArrayBuffer) + path.byteOffset), "statx");
  return statx;
}

test("a full table refuses, and takes again what was given back under another node id", (t) => {
  const statx = statxOfDirectory(t);
  const table = new InodeTable(smallState(2 * INODE_CHUNK.slots));
  const slots: number[] = [];
  // Each on a mount of its own, as far as the table knows: they are different inodes.
  for (
    let slot = table.insert(statx, 0, 0, true);
    slot !== 0;
    slot = table.insert(statx, slots.length, 0, true)
  ) {
    slots.push(slot);
  }
  assert.equal(slots.length, 2 * INODE_CHUNK.slots - 1, "slot 0 stands for none");
  assert.equal(new Set(slots).size, slots.length);
  const [first = 0] = slots.slice(1000);
  const sequence = table.sequence(first);
  table.remove(first);
  assert.equal(table.slotOf(first, sequence), 0);
  assert.equal(table.insert(statx, 5000, 0, true), first);
  assert.equal(table.slotOf(first, sequence), 0, "the node id of before means nothing");
  assert.equal(table.slotOf(first, table.sequence(first)), first);
  assert.equal(table.insert(statx, 5001, 0, true), 0, "full again");
});

test("node ids do not come back when the memory of a whole chunk was given back", (t) => {
  const statx = statxOfDirectory(t);
  const table = new InodeTable(smallState(2 * INODE_CHUNK.slots));
  const seen = new Set<string>();
  for (let round = 0; round < 5; round++) {
    const slots = Array.from({ length: 2 * INODE_CHUNK.slots - 1 }, (_, mount) =>
      table.insert(statx, mount, 0, true),
    );
    for (const slot of slots) {
      const id = `${slot}:${table.sequence(slot)}`;
      assert.ok(!seen.has(id), id);
      seen.add(id);
    }
    for (const slot of slots) table.remove(slot);
    assert.equal(table.next(0), 0, "nothing is left");
  }
});

test("what is in the table is found, whatever comes and goes", (t) => {
  const statx = statxOfDirectory(t);
  const state = smallState(INODE_CHUNK.slots);
  const steps = fc.array(fc.tuple(fc.nat(40), fc.boolean()), { maxLength: 300 });
  fc.assert(
    fc.property(steps, (list) => {
      const table = new InodeTable(state);
      const known = new Map<number, number>();
      for (const [mount, comes] of list) {
        const slot = known.get(mount);
        assert.equal(table.find(statx, mount, 0), slot ?? 0);
        if (comes && slot === undefined) known.set(mount, table.insert(statx, mount, 0, true));
        if (!comes && slot !== undefined) {
          table.remove(slot);
          known.delete(mount);
        }
      }
      const listed: number[] = [];
      for (let slot = table.next(0); slot !== 0; slot = table.next(slot)) listed.push(slot);
      assert.deepEqual(
        listed,
        [...known.values()].sort((a, b) => a - b),
      );
      for (const slot of known.values()) table.remove(slot);
    }),
  );
});

test("references are counted beyond 32 bits", (t) => {
  const table = new InodeTable(smallState(INODE_CHUNK.slots));
  const slot = table.insert(statxOfDirectory(t), 0, 0, true);
  table.setLookups(slot, 2 ** 32 - 1);
  for (let index = 0; index < 3; index++) table.setLookups(slot, table.lookups(slot) + 1);
  assert.equal(table.lookups(slot), 2 ** 32 + 2);
  assert.equal(table.slotOf(slot, table.sequence(slot)), slot, "no other field was touched");
});

test("locators of every length are kept apart, and their memory comes back", () => {
  const state = smallState(INODE_CHUNK.slots);
  const locators = new InodeLocators(state);
  const handle = new FileHandle();
  const other = new FileHandle();
  const lengths = [8, 12, 20, 28, 29, 40, 64, 65, 128];
  for (const [index, length] of lengths.entries()) {
    handle.bytes.fill(index + 1);
    handle.set(0x81, length);
    assert.ok(locators.setHandle(index + 1, handle));
  }
  const names = Array.from({ length: 255 }, (_, index) => "n".repeat(index + 1));
  for (const [index, name] of names.entries()) {
    const bytes = Buffer.from(`..${name}\0rest`);
    assert.ok(locators.setName(100 + index, 7, { bytes, address: 0 }, 2));
  }
  for (const [index, length] of lengths.entries()) {
    locators.getHandle(index + 1, other);
    assert.equal(other.byteLength, length);
    assert.equal(other.type, 0x81);
    assert.ok(other.bytes.subarray(0, length).every((byte) => byte === index + 1));
    assert.ok(locators.isHandle(index + 1, other));
    other.bytes[length - 1] = 0;
    assert.ok(!locators.isHandle(index + 1, other));
  }
  for (const [index, name] of names.entries()) {
    assert.equal(locators.parent(100 + index), 7);
    assert.ok(locators.isNameIn(100 + index, 7, { bytes: Buffer.from(`${name}\0`), address: 0 }, 0));
    assert.ok(!locators.isNameIn(100 + index, 7, { bytes: Buffer.from(`${name}n\0`), address: 0 }, 0));
    assert.ok(!locators.isNameIn(100 + index, 8, { bytes: Buffer.from(`${name}\0`), address: 0 }, 0));
  }
  for (let slot = 1; slot < 400; slot++) locators.drop(slot);
  assert.equal(state.inodeExtents.getUint32(EXTENTS.live, true), 0);
  assert.equal(state.inodeExtents.getUint32(EXTENTS.used, true), 1);
});

test("pieces do not overlap, and when there is no memory left there is none", () => {
  const state = smallState(INODE_CHUNK.slots);
  const capacity = state.inodeExtents.byteLength / EXTENTS.unitBytes;
  const step = fc.oneof(
    fc.record({ take: fc.integer({ min: 1, max: EXTENTS.unitsMax * EXTENTS.unitBytes }) }),
    fc.record({ give: fc.nat() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const extents = new InodeExtents(state);
      const taken: { unit: number; bytes: number }[] = [];
      for (const one of steps) {
        if ("take" in one) {
          const unit = extents.take(one.take);
          assert.ok(unit > 0);
          const end = unit + Math.ceil(one.take / EXTENTS.unitBytes);
          assert.ok(end <= capacity);
          for (const { unit: start, bytes } of taken) {
            assert.ok(end <= start || unit >= start + Math.ceil(bytes / EXTENTS.unitBytes));
          }
          taken.push({ unit, bytes: one.take });
        } else {
          const [given] = taken.splice(one.give % Math.max(taken.length, 1), 1);
          if (given !== undefined) extents.give(given.unit, given.bytes);
        }
      }
      for (const { unit, bytes } of taken) extents.give(unit, bytes);
    }),
  );
  const extents = new InodeExtents(state);
  let count = 0;
  while (extents.take(EXTENTS.unitBytes) !== 0) count++;
  assert.equal(count, capacity - 1);
});

test("a record has room for what it holds", () => {
  assert.ok(INODE.locator + INODE.locatorInlineBytes <= INODE.bytes);
  assert.equal((INODE.bytes * INODE_CHUNK.slots) % 4096, 0, "chunks are whole pages");
});
