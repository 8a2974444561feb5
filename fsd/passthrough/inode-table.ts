import type { FileHandle } from "../../lib/sys/file-handle.js";
import type { Statx } from "../../lib/sys/statx.js";
import { FUSE_ROOT_ID } from "../fuse/constants.js";
import { type FsdState, INODE, INODE_CHUNK } from "../state.js";
import { InodeSlots } from "./inode-slots.js";

/** The slot of the root directory, whose node id FUSE fixes. */
export const ROOT_SLOT = FUSE_ROOT_ID;

/** The coarsest times that file systems keep, in seconds. */
const TIME_GRANULARITY_S = 2;

/** For two hashes of 32 bits that have nothing to do with each other. */
const FIRST_SEED = 0x811c9dc5;
const SECOND_SEED = 0x9e3779b1;

/** What is true of an inode of the table. Bits, stored with it. */
export const InodeFlag = {
  used: 1 << 0,
  /** Its descriptor stays open until the guest forgets it. */
  isKept: 1 << 1,
  /** Its descriptor was used since the search for one to close came by. */
  isReferenced: 1 << 2,
  hasBirth: 1 << 3,
  /** It existed when the time of its birth was past: an inode with its number and its birth time is it, and not a later one. */
  birthIsSettled: 1 << 4,
  changeIsSettled: 1 << 5,
  /** It was opened by its handle once, and proved to be what was looked up. */
  isVerified: 1 << 6,
  /** A hash of its file handle is known. */
  hasPrint: 1 << 7,
  /** The guest has forgotten it; it is only a way to others. */
  isForgotten: 1 << 8,
} as const;

/** How what statx(2) describes compares with an inode of the same number on the same mount. */
export type Likeness = "same" | "other" | "unsure";

/**
 * The inodes that the guest knows, found by node id and by identity: mount, file system, inode number, and what tells an inode from an
 * earlier one with its number.
 *
 * A slot is a number from 1; 0 stands for "none".
 */
export class InodeTable {
  readonly #slots: InodeSlots;
  readonly #records: DataView;
  readonly #buckets: Int32Array;

  constructor(state: FsdState) {
    this.#slots = new InodeSlots(state);
    this.#records = state.inodes;
    this.#buckets = state.inodeBuckets;
  }

  /** The slot of a node id, or 0 if the guest does not hold it (any more). */
  slotOf(nodeIdLow: number, nodeIdHigh: number): number {
    if (nodeIdLow === 0 || nodeIdLow >= this.#slots.end) return 0;
    const record = nodeIdLow * INODE.bytes;
    const flags = this.#records.getUint32(record + INODE.flags, true);
    if ((flags & (InodeFlag.used | InodeFlag.isForgotten)) !== InodeFlag.used) return 0;
    return this.#records.getUint32(record + INODE.sequence, true) === nodeIdHigh ? nodeIdLow : 0;
  }

  /**
   * The slot of an inode with the number that `statx` tells, or 0. There may be several: one that is deleted and kept, and a later one.
   * @param after the last one found, 0 for the first
   */
  find(statx: Statx, mount: number, device: number, after = 0): number {
    const records = this.#records;
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

  /** Whether an inode that {@link find} found is the one that `statx` describes. */
  compare(slot: number, statx: Statx): Likeness {
    const record = slot * INODE.bytes;
    // An inode with an open descriptor exists, and nothing else has its number.
    if (this.#records.getInt32(record + INODE.fdPlusOne, true) !== 0) return "same";
    if (this.type(slot) !== statx.type) return "other";
    const flags = this.#records.getUint32(record + INODE.flags, true);
    if ((flags & InodeFlag.hasBirth) === 0 || !statx.hasBirth) return "unsure";
    if (
      this.#records.getUint32(record + INODE.bornSeconds, true) !== statx.bornLow ||
      this.#records.getUint32(record + INODE.bornNanoseconds, true) !== statx.bornNanoseconds
    ) {
      return "other";
    }
    return (flags & InodeFlag.birthIsSettled) !== 0 ? "same" : "unsure";
  }

  /** Whether an inode that was opened again is what was entered, as far as `statx` tells. */
  isLike(slot: number, statx: Statx): boolean {
    const record = slot * INODE.bytes;
    const records = this.#records;
    const hasBirth = this.hasFlag(slot, InodeFlag.hasBirth) && statx.hasBirth;
    return (
      records.getUint32(record + INODE.inodeLow, true) === statx.inodeLow &&
      records.getUint32(record + INODE.inodeHigh, true) === statx.inodeHigh &&
      records.getUint32(record + INODE.type, true) === statx.type &&
      (!hasBirth ||
        (records.getUint32(record + INODE.bornSeconds, true) === statx.bornLow &&
          records.getUint32(record + INODE.bornNanoseconds, true) === statx.bornNanoseconds))
    );
  }

  /**
   * Enters the object that `statx` describes.
   * @param hasBirth whether its time of birth can be relied on
   * @returns its slot, or 0 if the table is full
   */
  insert(statx: Statx, mount: number, device: number, hasBirth: boolean): number {
    const records = this.#records;
    const slot = this.#slots.take();
    if (slot === 0) return 0;
    const record = slot * INODE.bytes;
    const bucket = this.#bucketOf(statx.inodeLow, statx.inodeHigh, mount);
    const flags = InodeFlag.used | (hasBirth && statx.hasBirth ? InodeFlag.hasBirth : 0);
    records.setUint32(record + INODE.flags, flags, true);
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
    this.#buckets[bucket] = slot;
    this.noteExists(slot);
    return slot;
  }

  /** Frees a slot. The caller closes its descriptors, and gives back its locator, first. */
  remove(slot: number): void {
    const records = this.#records;
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

  /** Notes that the inode is known to exist just now, which counts once its birth time is past. */
  noteExists(slot: number): void {
    const record = slot * INODE.bytes;
    const flags = this.#records.getUint32(record + INODE.flags, true);
    if ((flags & InodeFlag.birthIsSettled) !== 0 || (flags & InodeFlag.hasBirth) === 0) return;
    const born = this.#records.getUint32(record + INODE.bornSeconds, true);
    if (born + TIME_GRANULARITY_S < Date.now() / 1000) this.setFlag(slot, InodeFlag.birthIsSettled);
  }

  hasFlag(slot: number, flag: number): boolean {
    return (this.#records.getUint32(slot * INODE.bytes + INODE.flags, true) & flag) !== 0;
  }
  setFlag(slot: number, flag: number): void {
    const field = slot * INODE.bytes + INODE.flags;
    this.#records.setUint32(field, this.#records.getUint32(field, true) | flag, true);
  }
  clearFlag(slot: number, flag: number): void {
    const field = slot * INODE.bytes + INODE.flags;
    this.#records.setUint32(field, this.#records.getUint32(field, true) & ~flag, true);
  }

  /** High half of the slot's node id. */
  sequence(slot: number): number {
    return this.#records.getUint32(slot * INODE.bytes + INODE.sequence, true);
  }
  /** The O_PATH descriptor, or -1 if none is open: {@link import("./inode-descriptors.js").InodeDescriptors} opens it again. */
  fd(slot: number): number {
    return this.#records.getInt32(slot * INODE.bytes + INODE.fdPlusOne, true) - 1;
  }
  setFd(slot: number, fd: number): void {
    this.#records.setInt32(slot * INODE.bytes + INODE.fdPlusOne, fd + 1, true);
  }
  /** The request that used the descriptor last. */
  usedBy(slot: number): number {
    return this.#records.getUint32(slot * INODE.bytes + INODE.usedBy, true);
  }
  setUsedBy(slot: number, request: number): void {
    this.#records.setUint32(slot * INODE.bytes + INODE.usedBy, request, true);
  }
  /** Stores the hash of the inode's file handle. */
  setPrint(slot: number, handle: FileHandle): void {
    this.#records.setUint32(slot * INODE.bytes + INODE.print, handle.hash(FIRST_SEED), true);
    this.#records.setUint32(slot * INODE.bytes + INODE.print2, handle.hash(SECOND_SEED), true);
    this.setFlag(slot, InodeFlag.hasPrint);
  }
  /** Whether `handle` is the inode's, as far as the hash tells: no two inodes of a file system have the same handle. */
  hasPrint(slot: number, handle: FileHandle): boolean {
    return (
      this.hasFlag(slot, InodeFlag.hasPrint) &&
      this.#records.getUint32(slot * INODE.bytes + INODE.print, true) === handle.hash(FIRST_SEED) &&
      this.#records.getUint32(slot * INODE.bytes + INODE.print2, true) === handle.hash(SECOND_SEED)
    );
  }
  /** How many inodes are found by a name in this one. */
  children(slot: number): number {
    return this.#records.getUint32(slot * INODE.bytes + INODE.children, true);
  }
  /** @returns how many there are then */
  countChildren(slot: number, change: 1 | -1): number {
    const count = this.children(slot) + change;
    this.#records.setUint32(slot * INODE.bytes + INODE.children, count, true);
    return count;
  }
  /** S_IFREG and so on. */
  type(slot: number): number {
    return this.#records.getUint32(slot * INODE.bytes + INODE.type, true);
  }
  mount(slot: number): number {
    return this.#records.getUint32(slot * INODE.bytes + INODE.mount, true);
  }
  device(slot: number): number {
    return this.#records.getUint32(slot * INODE.bytes + INODE.device, true);
  }
  inodeLow(slot: number): number {
    return this.#records.getUint32(slot * INODE.bytes + INODE.inodeLow, true);
  }
  inodeHigh(slot: number): number {
    return this.#records.getUint32(slot * INODE.bytes + INODE.inodeHigh, true);
  }
  /** The references that the guest holds. */
  lookups(slot: number): number {
    return this.#records.getFloat64(slot * INODE.bytes + INODE.lookups, true);
  }
  setLookups(slot: number, count: number): void {
    this.#records.setFloat64(slot * INODE.bytes + INODE.lookups, count, true);
  }
  /** The descriptor for reading without a handle, or -1. */
  readFd(slot: number): number {
    return this.#records.getInt32(slot * INODE.bytes + INODE.readFdPlusOne, true) - 1;
  }
  setReadFd(slot: number, fd: number): void {
    this.#records.setInt32(slot * INODE.bytes + INODE.readFdPlusOne, fd + 1, true);
  }

  /**
   * Notes that the guest opens the file that `statx` describes now.
   * @returns whether it has not changed since it was noted last, so that pages cached then are still right
   */
  noteOpened(slot: number, statx: Statx): boolean {
    const records = this.#records;
    const record = slot * INODE.bytes;
    const isSame =
      this.hasFlag(slot, InodeFlag.changeIsSettled) &&
      records.getUint32(record + INODE.changedSeconds, true) === statx.changedLow &&
      records.getUint32(record + INODE.changedNanoseconds, true) === statx.changedNanoseconds;
    records.setUint32(record + INODE.changedSeconds, statx.changedLow, true);
    records.setUint32(record + INODE.changedNanoseconds, statx.changedNanoseconds, true);
    // A change right after another one may leave the same time; once that time is past, the next change shows.
    if (statx.changedLow + TIME_GRANULARITY_S < Date.now() / 1000)
      this.setFlag(slot, InodeFlag.changeIsSettled);
    else this.clearFlag(slot, InodeFlag.changeIsSettled);
    return isSame;
  }

  #bucketOf(inodeLow: number, inodeHigh: number, mount: number): number {
    const mixed = Math.imul(inodeLow ^ Math.imul(inodeHigh + mount, 0x9e3779b1), 0x85ebca6b);
    return (mixed ^ (mixed >>> 15)) & (this.#buckets.length - 1);
  }
}
