import { close } from "../../lib/sys/file.js";
import { type FsdState, LOCK_OWNER, SESSION } from "../state.js";

/**
 * Who in the guest has POSIX locks on which inode. Each such owner has an open file description of its own on the host, which is what
 * the host's kernel takes for the locks' owner; the ranges are in the host's kernel alone. An entry is a number from 1.
 */
export class LockTable {
  readonly #session: DataView;
  readonly #records: DataView;
  readonly #capacity: number;

  constructor(state: FsdState) {
    this.#session = state.session;
    this.#records = state.lockOwners;
    this.#capacity = state.lockOwners.byteLength / LOCK_OWNER.bytes;
  }

  /** The first entry of the inode behind `after`, or 0. */
  next(slot: number, after: number): number {
    if (this.#live === 0) return 0;
    for (let entry = after + 1; entry < this.#used; entry++) {
      if (this.#records.getUint32(entry * LOCK_OWNER.bytes + LOCK_OWNER.slot, true) === slot) return entry;
    }
    return 0;
  }

  /** The entry of an owner on an inode, or 0. */
  find(slot: number, ownerLow: number, ownerHigh: number): number {
    for (let entry = this.next(slot, 0); entry !== 0; entry = this.next(slot, entry)) {
      if (this.isOwner(entry, ownerLow, ownerHigh)) return entry;
    }
    return 0;
  }

  /** Takes over `fd`. @returns the entry, or 0 if the table is full */
  insert(slot: number, ownerLow: number, ownerHigh: number, fd: number): number {
    let entry = 1;
    while (entry < this.#used && this.#records.getUint32(entry * LOCK_OWNER.bytes, true) !== 0) entry++;
    if (entry >= this.#capacity) return 0;
    if (entry >= this.#used) this.#session.setUint32(SESSION.lockOwnersUsed, entry + 1, true);
    const record = entry * LOCK_OWNER.bytes;
    this.#records.setInt32(record + LOCK_OWNER.fd, fd, true);
    this.#records.setUint32(record + LOCK_OWNER.ownerLow, ownerLow, true);
    this.#records.setUint32(record + LOCK_OWNER.ownerHigh, ownerHigh, true);
    this.#records.setUint32(record + LOCK_OWNER.slot, slot, true);
    this.#live = this.#live + 1;
    return entry;
  }

  /** Gives back all that the owner has on the inode. */
  remove(entry: number): void {
    close(this.fd(entry));
    this.#records.setUint32(entry * LOCK_OWNER.bytes + LOCK_OWNER.slot, 0, true);
    this.#live = this.#live - 1;
  }

  /**
   * Gives back the locks that were taken by a handle. They are those of its open file description (F_OFD_SETLK): a process's own end
   * with FLUSH, which comes before the handle's end.
   */
  removeAllOf(handle: number): void {
    if (this.#live === 0) return;
    for (let entry = 1; entry < this.#used; entry++) {
      const record = entry * LOCK_OWNER.bytes;
      if (this.#records.getUint32(record + LOCK_OWNER.slot, true) === 0) continue;
      if (this.#records.getUint32(record + LOCK_OWNER.handle, true) === handle) this.remove(entry);
    }
  }

  /** Gives back all locks. */
  clear(): void {
    for (let entry = 1; entry < this.#used; entry++) {
      if (this.#records.getUint32(entry * LOCK_OWNER.bytes + LOCK_OWNER.slot, true) !== 0) this.remove(entry);
    }
  }

  fd(entry: number): number {
    return this.#records.getInt32(entry * LOCK_OWNER.bytes + LOCK_OWNER.fd, true);
  }
  isOwner(entry: number, low: number, high: number): boolean {
    const record = entry * LOCK_OWNER.bytes;
    return (
      this.#records.getUint32(record + LOCK_OWNER.ownerLow, true) === low &&
      this.#records.getUint32(record + LOCK_OWNER.ownerHigh, true) === high
    );
  }
  /** The process that took a lock last, as the guest numbers it. */
  pid(entry: number): number {
    return this.#records.getUint32(entry * LOCK_OWNER.bytes + LOCK_OWNER.pid, true);
  }
  noteAsked(entry: number, pid: number, handle: number): void {
    this.#records.setUint32(entry * LOCK_OWNER.bytes + LOCK_OWNER.pid, pid, true);
    this.#records.setUint32(entry * LOCK_OWNER.bytes + LOCK_OWNER.handle, handle, true);
  }

  get #used(): number {
    return Math.max(1, this.#session.getUint32(SESSION.lockOwnersUsed, true));
  }
  get #live(): number {
    return this.#session.getUint32(SESSION.lockOwners, true);
  }
  set #live(count: number) {
    this.#session.setUint32(SESSION.lockOwners, count, true);
  }
}
