import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { AT_FDCWD } from "../../lib/sys/file.js";
import { addressOf, check } from "../../lib/sys/libc.js";
import { Statx } from "../../lib/sys/statx.js";
import { createFsdState, type FsdState, INODE_CHUNK } from "../state.js";
import { HandleKind, HandleTable } from "./handle-table.js";
import { InodeTable, ROOT_SLOT } from "./inode-table.js";
import { repairState } from "./repair.js";

const HANDLES = 12;
const MOUNTS = 12;
/** Of those, what no step means. */
const [ROOT_MOUNT, OTHER_MOUNT] = [10, 11];
/** A number that is no descriptor of this process, which the tables need not know. */
const FD = 5000;

class Death extends Error {}

/** Tables of a worker that dies at its `writes`th write from now on. */
class Mortal {
  writes = Number.POSITIVE_INFINITY;
  readonly state: FsdState;

  constructor() {
    const plain = createFsdState({
      inodes: INODE_CHUNK.slots,
      openInodes: 16,
      handles: HANDLES,
      mounts: MOUNTS,
      devices: 1,
      daxRanges: 0,
      lockOwners: 1,
      waiters: 0,
    });
    const spend = () => {
      if (this.writes-- <= 0) throw new Death();
    };
    class Written extends DataView<SharedArrayBuffer> {
      override setUint8(offset: number, value: number): void {
        spend();
        super.setUint8(offset, value);
      }
      override setUint16(offset: number, value: number, isLittle?: boolean): void {
        spend();
        super.setUint16(offset, value, isLittle);
      }
      override setInt32(offset: number, value: number, isLittle?: boolean): void {
        spend();
        super.setInt32(offset, value, isLittle);
      }
      override setUint32(offset: number, value: number, isLittle?: boolean): void {
        spend();
        super.setUint32(offset, value, isLittle);
      }
      override setFloat64(offset: number, value: number, isLittle?: boolean): void {
        spend();
        super.setFloat64(offset, value, isLittle);
      }
    }
    const written = ({ buffer, byteOffset, byteLength }: DataView) => {
      assert.ok(buffer instanceof SharedArrayBuffer);
      return new Written(buffer, byteOffset, byteLength);
    };
    this.state = {
      ...plain,
      session: written(plain.session),
      inodes: written(plain.inodes),
      inodeChunks: written(plain.inodeChunks),
      handles: written(plain.handles),
      undo: written(plain.undo),
    };
  }

  /** Does something; if the worker dies of it, the next one puts the tables in order. @returns whether it was done */
  attempt(writes: number, work: () => void): boolean {
    this.writes = writes;
    try {
      work();
      return true;
    } catch (error) {
      if (!(error instanceof Death)) throw error;
      return false;
    } finally {
      this.writes = Number.POSITIVE_INFINITY;
    }
  }

  repair() {
    return repairState(
      this.state,
      () => false,
      () => false,
    );
  }
}

/** What comes or goes, and at which write the worker dies, beyond most for none. */
const anySteps = fc.array(fc.tuple(fc.nat(7), fc.nat(40)), { maxLength: 60 });

test("handles are open or free, and none is both, wherever a worker dies", () => {
  fc.assert(
    fc.property(anySteps, (steps) => {
      const mortal = new Mortal();
      let table = new HandleTable(mortal.state);
      const open = new Map<number, number>();
      for (const [which, writes] of steps) {
        const slot = open.get(which);
        const isDone = mortal.attempt(writes, () => {
          if (slot !== undefined) table.remove(slot);
          else open.set(which, table.insert(FD + which, HandleKind.file, 1, false));
        });
        if (isDone && slot !== undefined) open.delete(which);
        if (isDone) continue;
        const { handles } = mortal.repair();
        table = new HandleTable(mortal.state);
        // The step was done or was not: both are in order.
        if (slot !== undefined && table.fd(slot) < 0) open.delete(which);
        assert.equal(handles, open.size);
      }
      for (const [which, slot] of open) assert.equal(table.fd(slot), FD + which);
      const slots = [...open.values()];
      for (let slot = table.insert(FD, HandleKind.file, 1, false); slot !== 0; ) {
        slots.push(slot);
        slot = table.insert(FD, HandleKind.file, 1, false);
      }
      assert.deepEqual(
        slots.sort((a, b) => a - b),
        Array.from({ length: HANDLES - 1 }, (_, index) => index + 1),
      );
    }),
  );
});

test("inodes are known or free, and no node id comes back, wherever a worker dies", (t) => {
  const statx = statxOfDirectory(t);
  fc.assert(
    fc.property(anySteps, (steps) => {
      const mortal = new Mortal();
      let table = new InodeTable(mortal.state);
      assert.equal(table.insert(statx, ROOT_MOUNT, 0, true), ROOT_SLOT);
      const known = new Map<number, number>();
      const seen = new Set<string>();
      for (const [mount, writes] of steps) {
        const slot = known.get(mount);
        const isDone = mortal.attempt(writes, () => {
          if (slot !== undefined) {
            table.setLookups(slot, 0);
            table.remove(slot);
            return;
          }
          const entered = table.insert(statx, mount, 0, true);
          table.setLookups(entered, 1);
          known.set(mount, entered);
        });
        if (isDone && slot !== undefined) known.delete(mount);
        if (!isDone) {
          const { inodes } = mortal.repair();
          table = new InodeTable(mortal.state);
          const found = table.find(statx, mount, 0);
          if (found === 0) known.delete(mount);
          else known.set(mount, found);
          assert.equal(inodes, known.size);
        }
        const entered = known.get(mount);
        if (slot === undefined && entered !== undefined) {
          const nodeId = `${entered}:${table.sequence(entered)}`;
          assert.ok(!seen.has(nodeId), nodeId);
          seen.add(nodeId);
        }
      }
      for (const [mount, slot] of known) {
        assert.equal(table.find(statx, mount, 0), slot);
        assert.equal(table.lookups(slot), 1);
      }
      let entered = 0;
      while (table.insert(statx, OTHER_MOUNT, 0, true) !== 0) entered++;
      assert.equal(
        entered + known.size,
        INODE_CHUNK.slots - 2,
        "slot 0 stands for none, and there is the root",
      );
    }),
    { numRuns: 50 },
  );
});

/** What a real directory looks like. */
function statxOfDirectory(t: TestContext): Statx {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = Buffer.from(`${dir}\0`);
  const statx = new Statx();
  check(statx.readName(AT_FDCWD, addressOf(path)), "statx");
  return statx;
}

test("a worker that dies of its first inode leaves room for all", (t) => {
  const statx = statxOfDirectory(t);
  for (let writes = 0; ; writes++) {
    const mortal = new Mortal();
    const isDone = mortal.attempt(writes, () =>
      new InodeTable(mortal.state).insert(statx, ROOT_MOUNT, 0, true),
    );
    mortal.repair();
    const table = new InodeTable(mortal.state);
    let entered = isDone || table.find(statx, ROOT_MOUNT, 0) !== 0 ? 1 : 0;
    while (table.insert(statx, OTHER_MOUNT, 0, true) !== 0) entered++;
    assert.equal(entered, INODE_CHUNK.slots - 1, `${writes} writes`);
    if (isDone) return;
  }
});
