import type { Statx } from "../../lib/sys/statx.js";
import { FUSE_ROOT_ID } from "../fuse/constants.js";
import { type FsdState, INODE, SESSION } from "../state.js";

/** The slot of the root directory, whose node id FUSE fixes. */
export const ROOT_SLOT = FUSE_ROOT_ID;

/** The coarsest change times that file systems keep, in seconds. */
const CHANGE_TIME_GRANULARITY_S = 2;

/**
 * The inodes that the guest knows, found by node id and by identity (mount, file system, inode number). An O_PATH descriptor
 * in each slot keeps inode and mount alive, so neither number can come to mean something else while it is in the table.
 *
 * A slot is a number from 1; 0 stands for "none".
 */
export class InodeTable {
  readonly #session: DataView;
  readonly #records: DataView;
  readonly #buckets: Int32Array;
  readonly #capacity: number;

  constructor(state: FsdState) {
    this.#session = state.session;
    this.#records = state.inodes;
    this.#buckets = state.inodeBuckets;
    this.#capacity = state.inodes.byteLength / INODE.bytes;
    if (this.used === 0) this.used = 1;
  }

  /** The slot of a node id, or 0 if the guest does not hold it (any more). */
  slotOf(nodeIdLow: number, nodeIdHigh: number): number {
    if (nodeIdLow === 0 || nodeIdLow >= this.used) return 0;
    const record = nodeIdLow * INODE.bytes;
    if (this.#records.getInt32(record + INODE.fd, true) < 0) return 0;
    return this.#records.getUint32(record + INODE.sequence, true) === nodeIdHigh ? nodeIdLow : 0;
  }

  /** The slot of the object that `statx` describes, or 0. */
  find(statx: Statx, mount: number, device: number): number {
    const records = this.#records;
    const low = statx.inodeLow;
    const high = statx.inodeHigh;
    let slot = this.#buckets[this.#bucketOf(low, high, mount)] ?? 0;
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

  /** Takes over `fd`, an O_PATH descriptor of the object that `statx` describes. @returns its slot, or 0 if the table is full. */
  insert(fd: number, statx: Statx, mount: number, device: number): number {
    const records = this.#records;
    let slot = this.#session.getUint32(SESSION.freeInode, true);
    if (slot !== 0) {
      this.#session.setUint32(
        SESSION.freeInode,
        records.getUint32(slot * INODE.bytes + INODE.next, true),
        true,
      );
    } else {
      slot = this.used;
      if (slot >= this.#capacity) return 0;
      this.used = slot + 1;
    }
    const record = slot * INODE.bytes;
    const bucket = this.#bucketOf(statx.inodeLow, statx.inodeHigh, mount);
    records.setInt32(record + INODE.fd, fd, true);
    records.setUint32(record + INODE.inodeLow, statx.inodeLow, true);
    records.setUint32(record + INODE.inodeHigh, statx.inodeHigh, true);
    records.setUint32(record + INODE.device, device, true);
    records.setUint32(record + INODE.mount, mount, true);
    records.setFloat64(record + INODE.lookups, 0, true);
    records.setUint32(record + INODE.next, this.#buckets[bucket] ?? 0, true);
    records.setUint32(record + INODE.type, statx.type, true);
    records.setInt32(record + INODE.readFdPlusOne, 0, true);
    records.setUint32(record + INODE.changedIsSettled, 0, true);
    this.#buckets[bucket] = slot;
    return slot;
  }

  /** Frees a slot. The caller closes its descriptors first. */
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
    records.setInt32(record + INODE.fd, -1, true);
    records.setUint32(record + INODE.sequence, records.getUint32(record + INODE.sequence, true) + 1, true);
    records.setUint32(record + INODE.next, this.#session.getUint32(SESSION.freeInode, true), true);
    this.#session.setUint32(SESSION.freeInode, slot, true);
  }

  /** One more than the highest slot that was ever used. */
  get used(): number {
    return this.#session.getUint32(SESSION.inodesUsed, true);
  }
  private set used(count: number) {
    this.#session.setUint32(SESSION.inodesUsed, count, true);
  }

  /** High half of the slot's node id. */
  sequence(slot: number): number {
    return this.#records.getUint32(slot * INODE.bytes + INODE.sequence, true);
  }
  /** The O_PATH descriptor, or -1 for a free slot. */
  fd(slot: number): number {
    return this.#records.getInt32(slot * INODE.bytes + INODE.fd, true);
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
      records.getUint32(record + INODE.changedIsSettled, true) !== 0 &&
      records.getUint32(record + INODE.changedSeconds, true) === statx.changedLow &&
      records.getUint32(record + INODE.changedNanoseconds, true) === statx.changedNanoseconds;
    // A change right after another one may leave the same time; once that time is past, the next change shows.
    const isSettled = statx.changedLow + CHANGE_TIME_GRANULARITY_S < Date.now() / 1000;
    records.setUint32(record + INODE.changedSeconds, statx.changedLow, true);
    records.setUint32(record + INODE.changedNanoseconds, statx.changedNanoseconds, true);
    records.setUint32(record + INODE.changedIsSettled, isSettled ? 1 : 0, true);
    return isSame;
  }

  #bucketOf(inodeLow: number, inodeHigh: number, mount: number): number {
    const mixed = Math.imul(inodeLow ^ Math.imul(inodeHigh + mount, 0x9e3779b1), 0x85ebca6b);
    return (mixed ^ (mixed >>> 15)) & (this.#buckets.length - 1);
  }
}
