import type { FuseRequest } from "../fuse/request.js";
import { type FsdState, SESSION, WAITER } from "../state.js";
import type { FileSystem } from "./file-system.js";
import { blockerOf, LOCK_REQUEST } from "./locks.js";

/**
 * Requests for locks that wait: each a copy of itself, and where its answer goes. They are tried again when this guest gave back a lock,
 * and every now and then, since the host tells nobody when one of its own processes, or another daemon, does.
 */
export class LockWaiters {
  readonly #session: DataView;
  readonly #records: DataView;
  readonly #bytes: Uint8Array;
  readonly #capacity: number;

  constructor(state: FsdState) {
    this.#session = state.session;
    this.#records = state.waiters;
    this.#bytes = new Uint8Array(state.waiters.buffer);
    this.#capacity = state.waiters.byteLength / WAITER.bytes;
  }

  get count(): number {
    return this.#session.getUint32(SESSION.waiters, true);
  }
  get capacity(): number {
    return this.#capacity;
  }

  /** Keeps the request. @returns false if too many wait */
  add(request: FuseRequest, queueIndex: number, head: number): boolean {
    for (let index = 0; index < this.#capacity; index++) {
      if (this.isWaiting(index)) continue;
      const record = index * WAITER.bytes;
      this.#records.setUint32(record + WAITER.queuePlusOne, queueIndex + 1, true);
      this.#records.setUint32(record + WAITER.head, head, true);
      this.#bytes.set(request.bytes.subarray(0, LOCK_REQUEST.bytes), record + WAITER.request);
      this.#session.setUint32(SESSION.waiters, this.count + 1, true);
      return true;
    }
    return false;
  }

  isWaiting(index: number): boolean {
    return this.#records.getUint32(index * WAITER.bytes + WAITER.queuePlusOne, true) !== 0;
  }
  queueIndex(index: number): number {
    return this.#records.getUint32(index * WAITER.bytes + WAITER.queuePlusOne, true) - 1;
  }
  head(index: number): number {
    return this.#records.getUint32(index * WAITER.bytes + WAITER.head, true);
  }

  /** Makes the waiting request the one being served. */
  load(index: number, request: FuseRequest): void {
    const at = index * WAITER.bytes + WAITER.request;
    request.loadCopy(this.#bytes.subarray(at, at + LOCK_REQUEST.bytes));
  }

  remove(index: number): void {
    this.#records.setUint32(index * WAITER.bytes + WAITER.queuePlusOne, 0, true);
    this.#session.setUint32(SESSION.waiters, this.count - 1, true);
  }

  clear(): void {
    for (let index = 0; index < this.#capacity; index++) if (this.isWaiting(index)) this.remove(index);
  }

  /**
   * Whether the owner who asks would wait for somebody who waits, maybe through others, for a lock of its own. Who holds what is asked
   * of the host; where several owners share a read lock that is not known, and they are not taken to be in the way.
   */
  waitsForItself(fs: FileSystem, request: FuseRequest): boolean {
    const ownerLow = request.uint32(LOCK_REQUEST.owner);
    const ownerHigh = request.uint32(LOCK_REQUEST.owner + 4);
    let blocker = blockerOf(fs, request.view, 0);
    for (let step = 0; step <= this.#capacity && blocker !== 0; step++) {
      if (fs.locks.isOwner(blocker, ownerLow, ownerHigh)) return true;
      const waiter = this.#waiterOf(fs, blocker);
      if (waiter < 0) return false;
      blocker = blockerOf(fs, this.#records, waiter * WAITER.bytes + WAITER.request);
    }
    return false;
  }

  /** The waiting request of an owner of locks, or -1. */
  #waiterOf(fs: FileSystem, entry: number): number {
    for (let index = 0; index < this.#capacity; index++) {
      if (!this.isWaiting(index)) continue;
      const owner = index * WAITER.bytes + WAITER.request + LOCK_REQUEST.owner;
      const isFlock = this.#records.getUint32(owner - LOCK_REQUEST.owner + LOCK_REQUEST.flags, true) !== 0;
      const low = this.#records.getUint32(owner, true);
      if (!isFlock && fs.locks.isOwner(entry, low, this.#records.getUint32(owner + 4, true))) return index;
    }
    return -1;
  }
}
