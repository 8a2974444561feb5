import { INODE } from "../state.js";
import type { UndoLog } from "./undo-log.js";

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

/** What is stored of each inode of the table, by slot. */
export class InodeFields {
  constructor(
    protected readonly records: DataView,
    private readonly undo: UndoLog,
  ) {}

  hasFlag(slot: number, flag: number): boolean {
    return (this.records.getUint32(slot * INODE.bytes + INODE.flags, true) & flag) !== 0;
  }
  setFlag(slot: number, flag: number): void {
    const field = slot * INODE.bytes + INODE.flags;
    this.records.setUint32(field, this.records.getUint32(field, true) | flag, true);
  }
  clearFlag(slot: number, flag: number): void {
    const field = slot * INODE.bytes + INODE.flags;
    this.records.setUint32(field, this.records.getUint32(field, true) & ~flag, true);
  }

  /** High half of the slot's node id. */
  sequence(slot: number): number {
    return this.records.getUint32(slot * INODE.bytes + INODE.sequence, true);
  }
  /** The O_PATH descriptor, or -1 if none is open: {@link import("./inode-descriptors.js").InodeDescriptors} opens it again. */
  fd(slot: number): number {
    return this.records.getInt32(slot * INODE.bytes + INODE.fdPlusOne, true) - 1;
  }
  setFd(slot: number, fd: number): void {
    this.records.setInt32(slot * INODE.bytes + INODE.fdPlusOne, fd + 1, true);
  }
  /** The request that used the descriptor last. */
  usedBy(slot: number): number {
    return this.records.getUint32(slot * INODE.bytes + INODE.usedBy, true);
  }
  setUsedBy(slot: number, request: number): void {
    this.records.setUint32(slot * INODE.bytes + INODE.usedBy, request, true);
  }
  /** How many inodes are found by a name in this one. */
  children(slot: number): number {
    return this.records.getUint32(slot * INODE.bytes + INODE.children, true);
  }
  /** @returns how many there are then */
  countChildren(slot: number, change: 1 | -1): number {
    const count = this.children(slot) + change;
    this.records.setUint32(slot * INODE.bytes + INODE.children, count, true);
    return count;
  }
  /** S_IFREG and so on. */
  type(slot: number): number {
    return this.records.getUint32(slot * INODE.bytes + INODE.type, true);
  }
  mount(slot: number): number {
    return this.records.getUint32(slot * INODE.bytes + INODE.mount, true);
  }
  device(slot: number): number {
    return this.records.getUint32(slot * INODE.bytes + INODE.device, true);
  }
  inodeLow(slot: number): number {
    return this.records.getUint32(slot * INODE.bytes + INODE.inodeLow, true);
  }
  inodeHigh(slot: number): number {
    return this.records.getUint32(slot * INODE.bytes + INODE.inodeHigh, true);
  }
  /** The references that the guest holds. */
  lookups(slot: number): number {
    return this.records.getFloat64(slot * INODE.bytes + INODE.lookups, true);
  }
  setLookups(slot: number, count: number): void {
    this.undo.noteLookups(slot, this.sequence(slot), this.lookups(slot));
    this.records.setFloat64(slot * INODE.bytes + INODE.lookups, count, true);
  }
  /** The descriptor for reading without a handle, or -1. */
  readFd(slot: number): number {
    return this.records.getInt32(slot * INODE.bytes + INODE.readFdPlusOne, true) - 1;
  }
  setReadFd(slot: number, fd: number): void {
    this.records.setInt32(slot * INODE.bytes + INODE.readFdPlusOne, fd + 1, true);
  }
}
