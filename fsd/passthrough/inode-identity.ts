import type { FileHandle } from "../../lib/sys/file-handle.js";
import type { Statx } from "../../lib/sys/statx.js";
import { INODE } from "../state.js";
import { type InodeFields, InodeFlag } from "./inode-fields.js";

/** The coarsest times that file systems keep, in seconds. */
const TIME_GRANULARITY_S = 2;

/** For two hashes of 32 bits that have nothing to do with each other. */
const FIRST_SEED = 0x811c9dc5;
const SECOND_SEED = 0x9e3779b1;

/** How what statx(2) describes compares with an inode of the same number on the same mount. */
export type Likeness = "same" | "other" | "unsure";

/** What tells an inode from an earlier or a later one with its number, and a file from what it was. */
export class InodeIdentity {
  constructor(
    private readonly records: DataView,
    private readonly fields: InodeFields,
  ) {}

  /** Whether an inode that {@link import("./inode-table.js").InodeTable.find} found is the one that `statx` describes. */
  compare(slot: number, statx: Statx): Likeness {
    const record = slot * INODE.bytes;
    // An inode with an open descriptor exists, and nothing else has its number.
    if (this.records.getInt32(record + INODE.fdPlusOne, true) !== 0) return "same";
    if (this.fields.type(slot) !== statx.type) return "other";
    const flags = this.records.getUint32(record + INODE.flags, true);
    if ((flags & InodeFlag.hasBirth) === 0 || !statx.hasBirth) return "unsure";
    if (
      this.records.getUint32(record + INODE.bornSeconds, true) !== statx.bornLow ||
      this.records.getUint32(record + INODE.bornNanoseconds, true) !== statx.bornNanoseconds
    ) {
      return "other";
    }
    return (flags & InodeFlag.birthIsSettled) !== 0 ? "same" : "unsure";
  }

  /** Whether an inode that was opened again is what was entered, as far as `statx` tells. */
  isLike(slot: number, statx: Statx): boolean {
    const record = slot * INODE.bytes;
    const records = this.records;
    const hasBirth = this.fields.hasFlag(slot, InodeFlag.hasBirth) && statx.hasBirth;
    return (
      records.getUint32(record + INODE.inodeLow, true) === statx.inodeLow &&
      records.getUint32(record + INODE.inodeHigh, true) === statx.inodeHigh &&
      records.getUint32(record + INODE.type, true) === statx.type &&
      (!hasBirth ||
        (records.getUint32(record + INODE.bornSeconds, true) === statx.bornLow &&
          records.getUint32(record + INODE.bornNanoseconds, true) === statx.bornNanoseconds))
    );
  }

  /** Notes that the inode is known to exist just now, which counts once its birth time is past. */
  noteExists(slot: number): void {
    const record = slot * INODE.bytes;
    const flags = this.records.getUint32(record + INODE.flags, true);
    if ((flags & InodeFlag.birthIsSettled) !== 0 || (flags & InodeFlag.hasBirth) === 0) return;
    const born = this.records.getUint32(record + INODE.bornSeconds, true);
    if (born + TIME_GRANULARITY_S < Date.now() / 1000) this.fields.setFlag(slot, InodeFlag.birthIsSettled);
  }

  /** Stores the hash of the inode's file handle. */
  setPrint(slot: number, handle: FileHandle): void {
    this.records.setUint32(slot * INODE.bytes + INODE.print, handle.hash(FIRST_SEED), true);
    this.records.setUint32(slot * INODE.bytes + INODE.print2, handle.hash(SECOND_SEED), true);
    this.fields.setFlag(slot, InodeFlag.hasPrint);
  }
  /** Whether `handle` is the inode's, as far as the hash tells: no two inodes of a file system have the same handle. */
  hasPrint(slot: number, handle: FileHandle): boolean {
    return (
      this.fields.hasFlag(slot, InodeFlag.hasPrint) &&
      this.records.getUint32(slot * INODE.bytes + INODE.print, true) === handle.hash(FIRST_SEED) &&
      this.records.getUint32(slot * INODE.bytes + INODE.print2, true) === handle.hash(SECOND_SEED)
    );
  }

  /**
   * Notes that the guest opens the file that `statx` describes now.
   * @returns whether it has not changed since it was noted last, so that pages cached then are still right
   */
  noteOpened(slot: number, statx: Statx): boolean {
    const records = this.records;
    const record = slot * INODE.bytes;
    const isSame =
      this.fields.hasFlag(slot, InodeFlag.changeIsSettled) &&
      records.getUint32(record + INODE.changedSeconds, true) === statx.changedLow &&
      records.getUint32(record + INODE.changedNanoseconds, true) === statx.changedNanoseconds;
    records.setUint32(record + INODE.changedSeconds, statx.changedLow, true);
    records.setUint32(record + INODE.changedNanoseconds, statx.changedNanoseconds, true);
    // A change right after another one may leave the same time; once that time is past, the next change shows.
    if (statx.changedLow + TIME_GRANULARITY_S < Date.now() / 1000)
      this.fields.setFlag(slot, InodeFlag.changeIsSettled);
    else this.fields.clearFlag(slot, InodeFlag.changeIsSettled);
    return isSame;
  }
}
