import { type FsdState, UNDO } from "../state.js";

const { headerBytes, recordBytes, recordsMax } = UNDO;

/**
 * What the request being served has done to the guest's references and handles so far. If the worker dies of it, or before it has answered, the
 * next one takes that back and serves the request anew, so that nothing is counted twice.
 */
export class UndoLog {
  readonly #view: DataView;

  constructor(state: FsdState) {
    this.#view = state.undo;
  }

  /** Forgets what was before: another request is served. @param begunMs in milliseconds since 1970 */
  begin(queueIndex: number, head: number, begunMs: number): void {
    this.#view.setUint32(UNDO.queuePlusOne, 0, true);
    this.#view.setUint32(UNDO.count, 0, true);
    this.#view.setUint32(UNDO.handlePlusOne, 0, true);
    this.#view.setUint32(UNDO.head, head, true);
    this.#view.setFloat64(UNDO.begun, begunMs, true);
    this.#view.setUint32(UNDO.queuePlusOne, queueIndex + 1, true);
  }

  /** To be called before the references of an inode change. */
  noteLookups(slot: number, sequence: number, lookups: number): void {
    const count = this.#view.getUint32(UNDO.count, true);
    // A BATCH_FORGET, which this device's driver does not send: the references of some would be taken twice.
    if (count >= recordsMax) return;
    const record = headerBytes + count * recordBytes;
    this.#view.setUint32(record + UNDO.slot, slot, true);
    this.#view.setUint32(record + UNDO.sequence, sequence, true);
    this.#view.setFloat64(record + UNDO.lookups, lookups, true);
    this.#view.setUint32(UNDO.count, count + 1, true);
  }

  /** To be called before a new handle can be used. */
  noteHandle(slot: number): void {
    this.#view.setUint32(UNDO.handlePlusOne, slot + 1, true);
  }

  /** To be called before an inode is moved in a way that moves it back when it is done twice. */
  noteMoved(inodeLow: number, inodeHigh: number): void {
    this.#view.setUint32(UNDO.movedLow, inodeLow, true);
    this.#view.setUint32(UNDO.movedHigh, inodeHigh, true);
  }

  /** Whether that inode was noted for this request, or for one before it. */
  isMoved(inodeLow: number, inodeHigh: number): boolean {
    return (
      this.#view.getUint32(UNDO.movedLow, true) === inodeLow &&
      this.#view.getUint32(UNDO.movedHigh, true) === inodeHigh
    );
  }

  /** The queue of the request, or -1. */
  get queueIndex(): number {
    return this.#view.getUint32(UNDO.queuePlusOne, true) - 1;
  }
  get head(): number {
    return this.#view.getUint32(UNDO.head, true);
  }

  /** When the request was begun, in milliseconds since 1970. */
  get begunMs(): number {
    return this.#view.getFloat64(UNDO.begun, true);
  }

  /** The handle that the request opened, or 0. */
  get handle(): number {
    return Math.max(0, this.#view.getUint32(UNDO.handlePlusOne, true) - 1);
  }

  /** Takes back each change of references, the last one first. */
  takeBack(set: (slot: number, sequence: number, lookups: number) => void): void {
    for (let index = this.#view.getUint32(UNDO.count, true) - 1; index >= 0; index--) {
      const record = headerBytes + index * recordBytes;
      set(
        this.#view.getUint32(record + UNDO.slot, true),
        this.#view.getUint32(record + UNDO.sequence, true),
        this.#view.getFloat64(record + UNDO.lookups, true),
      );
    }
    this.#view.setUint32(UNDO.count, 0, true);
  }
}
