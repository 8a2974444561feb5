import { AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, S_IFMT, statx } from "./file.js";
import { addressOf, permanentAddressOf } from "./libc.js";

const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;
const STATX_MNT_ID = 0x1000;
const WANTED = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;

const emptyPathAddress = permanentAddressOf(new Uint8Array(1));

/**
 * One `struct statx`, filled again and again. 64-bit fields are read as two halves, since inode numbers use all 64 bits on
 * some file systems.
 */
export class Statx {
  readonly #view = new DataView(new ArrayBuffer(256));
  readonly #bytes = new Uint8Array(this.#view.buffer);
  readonly #address = addressOf(this.#view);

  /** Asks for the object `name` in directory `dir`, symbolic links not followed. @returns 0, or -1 with errno set. */
  readName(dir: number, nameAddress: number): number {
    const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    return statx(dir, nameAddress, flags, WANTED, this.#address);
  }

  /** Asks for the object that `fd` refers to, O_PATH descriptors included. @returns 0, or -1 with errno set. */
  readFd(fd: number): number {
    return statx(fd, emptyPathAddress, AT_EMPTY_PATH, WANTED, this.#address);
  }

  /** Copies the first `length` bytes of the structure. */
  copyTo(target: Uint8Array, offset: number, length: number): void {
    target.set(this.#bytes.subarray(0, length), offset);
  }

  get blockBytes(): number {
    return this.#view.getUint32(4, true);
  }
  get linkCount(): number {
    return this.#view.getUint32(16, true);
  }
  get uid(): number {
    return this.#view.getUint32(20, true);
  }
  get gid(): number {
    return this.#view.getUint32(24, true);
  }
  get mode(): number {
    return this.#view.getUint16(28, true);
  }
  /** The file type of {@link mode}: S_IFREG and so on. */
  get type(): number {
    return this.mode & S_IFMT;
  }
  get inodeLow(): number {
    return this.#view.getUint32(32, true);
  }
  get inodeHigh(): number {
    return this.#view.getUint32(36, true);
  }
  get sizeLow(): number {
    return this.#view.getUint32(40, true);
  }
  get sizeHigh(): number {
    return this.#view.getUint32(44, true);
  }
  get sizeBytes(): number {
    return this.sizeHigh * 0x1_0000_0000 + this.sizeLow;
  }
  get blocksLow(): number {
    return this.#view.getUint32(48, true);
  }
  get blocksHigh(): number {
    return this.#view.getUint32(52, true);
  }
  get accessedLow(): number {
    return this.#view.getUint32(64, true);
  }
  get accessedHigh(): number {
    return this.#view.getUint32(68, true);
  }
  get accessedNanoseconds(): number {
    return this.#view.getUint32(72, true);
  }
  /** Whether the file system tells when the object was made. */
  get hasBirth(): boolean {
    return (this.#view.getUint32(0, true) & STATX_BTIME) !== 0;
  }
  get bornLow(): number {
    return this.#view.getUint32(80, true);
  }
  get bornNanoseconds(): number {
    return this.#view.getUint32(88, true);
  }
  get changedLow(): number {
    return this.#view.getUint32(96, true);
  }
  get changedHigh(): number {
    return this.#view.getUint32(100, true);
  }
  get changedNanoseconds(): number {
    return this.#view.getUint32(104, true);
  }
  get modifiedLow(): number {
    return this.#view.getUint32(112, true);
  }
  get modifiedHigh(): number {
    return this.#view.getUint32(116, true);
  }
  get modifiedNanoseconds(): number {
    return this.#view.getUint32(120, true);
  }
  /** Device of a character or block device node. */
  get rdevMajor(): number {
    return this.#view.getUint32(128, true);
  }
  get rdevMinor(): number {
    return this.#view.getUint32(132, true);
  }
  /** Device of the file system. */
  get deviceMajor(): number {
    return this.#view.getUint32(136, true);
  }
  get deviceMinor(): number {
    return this.#view.getUint32(140, true);
  }
  /** The mount through which the object was reached (Linux 5.8; 0 before). Not reused while a descriptor keeps the mount. */
  get mountIdLow(): number {
    return this.#view.getUint32(144, true);
  }
  get mountIdHigh(): number {
    return this.#view.getUint32(148, true);
  }
}
