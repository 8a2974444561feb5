import { MARK_OPAQUE, MARK_PATH_MAX_BYTES, MarkOperation } from "../../lib/overlay-marks/message.js";
import { Errno } from "../../lib/sys/errno.js";
import { readlinkat } from "../../lib/sys/file.js";
import { addressOf, lastErrno } from "../../lib/sys/libc.js";
import type { Statx } from "../../lib/sys/statx.js";
import { ROOT_SLOT } from "./inode-table.js";
import type { MarkBroker } from "./mark-broker.js";
import type { ProcPath } from "./proc-path.js";

/** What of a file system is needed to name its directories. */
export interface MarkedFileSystem {
  readonly statx: Statx;
  readonly procPath: ProcPath;
  readonly inodes: { sequence(slot: number): number };
  stat(slot: number): number;
  pathFd(slot: number): number;
}

const NOT_MARKED = 0;
const SLASH = 0x2f;
/** A record of what is known: the mark plus one, which 0 is not, and above it the low bits of the slot's sequence. */
const MARK_BITS = 8;
const SEQUENCE_MASK = 0xff_ffff;
const FIRST_CAPACITY = 1024;

/**
 * The marks of opaque directories in a container's layers and upper directory. The guest's overlay asks for them at each
 * look-up of a directory; in layers nothing changes, and the upper directory only through this daemon, so that each answer holds
 * as long as the guest knows the inode.
 */
export class OverlayMarks {
  readonly #pathAddress: number;
  /** By slot. */
  #known = new Uint32Array(FIRST_CAPACITY);
  #rootPath: Uint8Array | undefined;

  constructor(
    private readonly fs: MarkedFileSystem,
    private readonly broker: MarkBroker,
  ) {
    this.#pathAddress = addressOf(broker.path);
  }

  /** The mark of a directory, one byte such as "y"; 0 if it has none; -errno. */
  read(slot: number): number {
    const known = this.#recall(slot);
    if (known >= 0) return known;
    const mark = this.#ask(MarkOperation.read, slot);
    if (mark >= 0) this.#remember(slot, mark);
    return mark;
  }

  /** Marks a directory as opaque, or no more. @returns 0, or -errno */
  write(slot: number, isOpaque: boolean): number {
    const result = this.#ask(isOpaque ? MarkOperation.set : MarkOperation.clear, slot);
    if (result === 0) this.#remember(slot, isOpaque ? MARK_OPAQUE : NOT_MARKED);
    return result;
  }

  /** Tells that the guest has just made the directory. */
  noteNew(slot: number): void {
    this.#remember(slot, NOT_MARKED);
  }

  #ask(operation: MarkOperation, slot: number): number {
    const result = this.fs.stat(slot);
    if (result < 0) return result;
    const length = this.#findPath(slot);
    if (length < 0) return length;
    return this.broker.ask(operation, this.fs.statx.inodeLow, this.fs.statx.inodeHigh, length);
  }

  /** Puts the path relative to the share where the broker wants it. @returns its length, or -errno */
  #findPath(slot: number): number {
    this.#rootPath ??= this.#readRootPath();
    const root = this.#rootPath;
    const path = this.broker.path;
    const length = this.#readPath(slot);
    if (length < 0) return length;
    if (length <= root.length) return -Errno.EXDEV;
    for (let index = 0; index < root.length; index++) {
      if (path[index] !== root[index]) return -Errno.EXDEV;
    }
    path.copyWithin(0, root.length, length);
    return length - root.length;
  }

  /** With a slash at its end. */
  #readRootPath(): Uint8Array {
    const length = Math.max(0, this.#readPath(ROOT_SLOT));
    const path = this.broker.path.slice(0, length);
    return path.at(-1) === SLASH ? path : Uint8Array.of(...path, SLASH);
  }

  /** @returns its length, or -errno */
  #readPath(slot: number): number {
    const fd = this.fs.pathFd(slot);
    if (fd < 0) return fd;
    const { dir } = this.fs.procPath;
    const length = readlinkat(dir, this.fs.procPath.name(fd), this.#pathAddress, MARK_PATH_MAX_BYTES);
    if (length < 0) return -lastErrno();
    return length < MARK_PATH_MAX_BYTES ? length : -Errno.ENAMETOOLONG;
  }

  /** @returns the mark, or -1 */
  #recall(slot: number): number {
    const record = this.#known[slot] ?? 0;
    const isOfSlot = record >>> MARK_BITS === (this.fs.inodes.sequence(slot) & SEQUENCE_MASK);
    return isOfSlot ? (record & ((1 << MARK_BITS) - 1)) - 1 : -1;
  }

  #remember(slot: number, mark: number): void {
    if (slot >= this.#known.length) {
      const grown = new Uint32Array(2 ** Math.ceil(Math.log2(slot + 1)));
      grown.set(this.#known);
      this.#known = grown;
    }
    this.#known[slot] = ((this.fs.inodes.sequence(slot) << MARK_BITS) | (mark + 1)) >>> 0;
  }
}
