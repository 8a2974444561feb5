import { addressOf, bind } from "./libc.js";

const fcntlLock = bind<(fd: number, command: number, lock: number) => number>(
  "int fcntl(int fd, int command, uintptr_t lock)",
);
/** flock(2). @returns 0, or -1 with errno set */
export const flock = /* @__PURE__ */ bind<(fd: number, operation: number) => number>(
  "int flock(int fd, int operation)",
);

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;

export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

/** The last byte that a lock can cover, and what stands for "up to the end, however far that is". */
export const LOCK_END = 0x7fff_ffff_ffff_ffffn;

/** One `struct flock` of 64-bit Linux, for locks that belong to an open file description. */
export class RecordLock {
  readonly #view = new DataView(new ArrayBuffer(32));
  readonly #address = addressOf(this.#view);

  /** Sets the lock to be asked for: bytes `start` to `end`, both included. */
  fill(type: number, start: bigint, end: bigint): void {
    const view = this.#view;
    view.setInt16(0, type, true);
    view.setInt16(2, 0, true);
    view.setBigInt64(8, start, true);
    view.setBigInt64(16, end === LOCK_END ? 0n : end - start + 1n, true);
    // A lock of an open file description has no process.
    view.setInt32(24, 0, true);
  }

  get type(): number {
    return this.#view.getInt16(0, true);
  }
  get start(): bigint {
    return this.#view.getBigInt64(8, true);
  }
  get end(): bigint {
    const length = this.#view.getBigInt64(16, true);
    return length === 0n ? LOCK_END : this.start + length - 1n;
  }

  /** Replaces the lock by one that is in its way, or sets its type to F_UNLCK. @returns 0, or -1 with errno set */
  test(fd: number): number {
    return fcntlLock(fd, F_OFD_GETLK, this.#address);
  }

  /** Takes or gives back the lock without waiting. @returns 0, or -1 with errno set: EAGAIN if another one is in its way */
  set(fd: number): number {
    return fcntlLock(fd, F_OFD_SETLK, this.#address);
  }
}
