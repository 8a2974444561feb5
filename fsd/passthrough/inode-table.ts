import type { Statx } from "../../lib/sys/statx.js";
import { FUSE_ROOT_ID } from "../fuse/constants.js";
import { type FsdState, INODE, INODE_CHUNK } from "../state.js";
import { InodeFields, InodeFlag } from "./inode-fields.js";
import { InodeIdentity } from "./inode-identity.js";
import { InodeSlots } from "./inode-slots.js";
import { UndoLog } from "./undo-log.js";

/** The slot of the root directory, whose node id FUSE fixes. */
export const ROOT_SLOT = FUSE_ROOT_ID;

/**
 * The inodes that the guest knows, found by node id and by identity: mount, file system, inode number, and what tells an inode from an
 * earlier one with its number.
 *
 * A slot is a number from 1; 0 stands for "none".
 */
export class InodeTable extends InodeFields {
  readonly identity: InodeIdentity;
  readonly #slots: InodeSlots;
  readonly #buckets: Int32Array;

  constructor(state: FsdState) {
    super(state.inodes, new UndoLog(state));
    this.identity = new InodeIdentity(state.inodes, this);
    this.#slots = new InodeSlots(state);
    this.#buckets = state.inodeBuckets;
  }

  /** The slot of a node id, or 0 if the guest does not hold it (any more). */
  slotOf(nodeIdLow: number, nodeIdHigh: number): number {
    if (nodeIdLow === 0 || nodeIdLow >= this.#slots.end) return 0;
    const record = nodeIdLow * INODE.bytes;
    const flags = this.records.getUint32(record + INODE.flags, true);
    if ((flags & (InodeFlag.used | InodeFlag.isForgotten)) !== InodeFlag.used) return 0;
    return this.records.getUint32(record + INODE.sequence, true) === nodeIdHigh ? nodeIdLow : 0;
  }

  /**
   * The slot of an inode with the number that `statx` tells, or 0. There may be several: one that is deleted and kept, and a later one.
   * @param after the last one found, 0 for the first
   */
  find(statx: Statx, mount: number, device: number, after = 0): number {
    const records = this.records;
    const low = statx.inodeLow;
    const high = statx.inodeHigh;
    let slot =
      after === 0
        ? (this.#buckets[this.#bucketOf(low, high, mount)] ?? 0)
        : records.getUint32(after * INODE.bytes + INODE.next, true);
    while (slot !== 0) {
      const record = slot * INODE.bytes;
      if (
        records.getUint32(record + INODE.inodeLow, true) === low &&
        records.getUint32(record + INODE.inodeHigh, true) === high &&
        records.getUint32(record + INODE.mount, true) === mount &&
        records.getUint32(record + INODE.device, true) === device
      ) {
        return slot;
      }
      slot = records.getUint32(record + INODE.next, true);
    }
    return 0;
  }

  /**
   * Enters the object that `statx` describes.
   * @param hasBirth whether its time of birth can be relied on
   * @returns its slot, or 0 if the table is full
   */
  insert(statx: Statx, mount: number, device: number, hasBirth: boolean): number {
    const records = this.records;
    const slot = this.#slots.take();
    if (slot === 0) return 0;
    const record = slot * INODE.bytes;
    const bucket = this.#bucketOf(statx.inodeLow, statx.inodeHigh, mount);
    const flags = InodeFlag.used | (hasBirth && statx.hasBirth ? InodeFlag.hasBirth : 0);
    records.setUint32(record + INODE.inodeLow, statx.inodeLow, true);
    records.setUint32(record + INODE.inodeHigh, statx.inodeHigh, true);
    records.setUint32(record + INODE.device, device, true);
    records.setUint32(record + INODE.mount, mount, true);
    records.setFloat64(record + INODE.lookups, 0, true);
    records.setUint32(record + INODE.next, this.#buckets[bucket] ?? 0, true);
    records.setUint32(record + INODE.type, statx.type, true);
    records.setInt32(record + INODE.fdPlusOne, 0, true);
    records.setUint32(record + INODE.usedBy, 0, true);
    records.setUint32(record + INODE.children, 0, true);
    records.setInt32(record + INODE.readFdPlusOne, 0, true);
    records.setUint32(record + INODE.bornSeconds, statx.bornLow, true);
    records.setUint32(record + INODE.bornNanoseconds, statx.bornNanoseconds, true);
    records.setUint16(record + INODE.locatorLength, 0, true);
    // Last: a worker that finds a record in use can rely on all of it.
    records.setUint32(record + INODE.flags, flags, true);
    this.#buckets[bucket] = slot;
    this.identity.noteExists(slot);
    return slot;
  }

  /** Frees a slot. The caller closes its descriptors, and gives back its locator, first. */
  remove(slot: number): void {
    const records = this.records;
    const record = slot * INODE.bytes;
    const bucket = this.#bucketOf(
      records.getUint32(record + INODE.inodeLow, true),
      records.getUint32(record + INODE.inodeHigh, true),
      records.getUint32(record + INODE.mount, true),
    );
    const next = records.getUint32(record + INODE.next, true);
    let previous = this.#buckets[bucket] ?? 0;
    if (previous === slot) {
      this.#buckets[bucket] = next;
    } else {
      while (previous !== 0) {
        const candidate = records.getUint32(previous * INODE.bytes + INODE.next, true);
        if (candidate === slot) {
          records.setUint32(previous * INODE.bytes + INODE.next, next, true);
          break;
        }
        previous = candidate;
      }
    }
    this.#slots.give(slot);
  }

  /** The first slot in use behind `slot`, or 0. */
  next(slot: number): number {
    const end = this.#slots.end;
    for (let candidate = slot + 1; candidate < end; candidate++) {
      if (this.#slots.isEmptyChunk(candidate))
        candidate += INODE_CHUNK.slots - (candidate % INODE_CHUNK.slots);
      if (candidate < end && this.hasFlag(candidate, InodeFlag.used)) return candidate;
    }
    return 0;
  }

  #bucketOf(inodeLow: number, inodeHigh: number, mount: number): number {
    return inodeBucket(inodeLow, inodeHigh, mount, this.#buckets.length);
  }
}

/** The hash chain that an inode is in. */
export function inodeBucket(inodeLow: number, inodeHigh: number, mount: number, buckets: number): number {
  const mixed = Math.imul(inodeLow ^ Math.imul(inodeHigh + mount, 0x9e3779b1), 0x85ebca6b);
  return (mixed ^ (mixed >>> 15)) & (buckets - 1);
}
