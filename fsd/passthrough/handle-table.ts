import { type FsdState, HANDLE, SESSION } from "../state.js";
import { UndoLog } from "./undo-log.js";

export const HandleKind = { file: 0, directory: 1 } as const;
type Kind = (typeof HandleKind)[keyof typeof HandleKind];

/** The guest's open files and directories, found by file handle. A slot is a number from 1; 0 stands for "none". */
export class HandleTable {
  readonly #session: DataView;
  readonly #records: DataView;
  readonly #capacity: number;
  readonly #undo: UndoLog;

  constructor(state: FsdState) {
    this.#session = state.session;
    this.#records = state.handles;
    this.#capacity = state.handles.byteLength / HANDLE.bytes;
    this.#undo = new UndoLog(state);
    if (this.used === 0) this.used = 1;
  }

  /**
   * Takes over `fd`, a descriptor of the inode in that slot.
   * @param isSynchronous whether writes by it wait for the disk
   * @returns the slot, or 0 if the table is full
   */
  insert(fd: number, kind: Kind, inode: number, isSynchronous: boolean): number {
    let slot = this.#session.getUint32(SESSION.freeHandle, true);
    if (slot !== 0) {
      const next = this.#records.getUint32(slot * HANDLE.bytes + HANDLE.next, true);
      this.#session.setUint32(SESSION.freeHandle, next, true);
    } else {
      slot = this.used;
      if (slot >= this.#capacity) return 0;
      this.used = slot + 1;
    }
    const record = slot * HANDLE.bytes;
    this.#records.setUint32(record + HANDLE.kind, kind, true);
    this.#records.setUint32(record + HANDLE.inode, inode, true);
    this.#records.setUint32(record + HANDLE.isSynchronous, isSynchronous ? 1 : 0, true);
    this.setPosition(slot, 0, 0);
    this.#undo.noteHandle(slot);
    this.#records.setInt32(record + HANDLE.fd, fd, true);
    return slot;
  }

  /** The slot of a file handle of that kind, or 0. */
  slotOf(fhLow: number, fhHigh: number, kind: Kind): number {
    if (fhLow === 0 || fhLow >= this.used) return 0;
    const record = fhLow * HANDLE.bytes;
    if (this.#records.getInt32(record + HANDLE.fd, true) < 0) return 0;
    if (this.#records.getUint32(record + HANDLE.kind, true) !== kind) return 0;
    return this.#records.getUint32(record + HANDLE.sequence, true) === fhHigh ? fhLow : 0;
  }

  /** The descriptor of a file that was opened by the inode of that slot, or one before it; -1 if none is open. Looks at all. */
  fdOfInode(inode: number): number {
    for (let slot = 1; slot < this.used; slot++) {
      const fd = this.fd(slot);
      if (fd >= 0 && this.#records.getUint32(slot * HANDLE.bytes + HANDLE.inode, true) === inode) return fd;
    }
    return -1;
  }

  /** Frees a slot. The caller closes its descriptor first. */
  remove(slot: number): void {
    const record = slot * HANDLE.bytes;
    const sequence = this.#records.getUint32(record + HANDLE.sequence, true);
    this.#records.setUint32(record + HANDLE.sequence, sequence + 1, true);
    this.#records.setInt32(record + HANDLE.fd, -1, true);
    this.#records.setUint32(record + HANDLE.next, this.#session.getUint32(SESSION.freeHandle, true), true);
    this.#session.setUint32(SESSION.freeHandle, slot, true);
  }

  /** One more than the highest slot that was ever used. */
  get used(): number {
    return this.#session.getUint32(SESSION.handlesUsed, true);
  }
  private set used(count: number) {
    this.#session.setUint32(SESSION.handlesUsed, count, true);
  }

  /** The descriptor, or -1 for a free slot. */
  fd(slot: number): number {
    return this.#records.getInt32(slot * HANDLE.bytes + HANDLE.fd, true);
  }
  /** High half of the file handle. */
  sequence(slot: number): number {
    return this.#records.getUint32(slot * HANDLE.bytes + HANDLE.sequence, true);
  }
  isSynchronous(slot: number): boolean {
    return this.#records.getUint32(slot * HANDLE.bytes + HANDLE.isSynchronous, true) !== 0;
  }
  positionLow(slot: number): number {
    return this.#records.getUint32(slot * HANDLE.bytes + HANDLE.positionLow, true);
  }
  positionHigh(slot: number): number {
    return this.#records.getUint32(slot * HANDLE.bytes + HANDLE.positionHigh, true);
  }
  setPosition(slot: number, low: number, high: number): void {
    this.#records.setUint32(slot * HANDLE.bytes + HANDLE.positionLow, low, true);
    this.#records.setUint32(slot * HANDLE.bytes + HANDLE.positionHigh, high, true);
  }
}
