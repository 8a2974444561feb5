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

  /**
   * Forgets what was before: another request is served.
   * @param isAgain whether it is the request that the log is of, whose changes were taken back: what {@link noteFound} was told still holds
   */
  begin(queueIndex: number, head: number, isAgain: boolean): void {
    if (!isAgain) this.end();
    this.#view.setUint32(UNDO.count, 0, true);
    this.#view.setUint32(UNDO.handlePlusOne, 0, true);
    if (isAgain) return;
    this.#view.setUint32(UNDO.found, 0, true);
    this.#view.setUint32(UNDO.head, head, true);
    this.#view.setUint32(UNDO.queuePlusOne, queueIndex + 1, true);
  }

  /** To be called once the request is answered: the next one may have its head. */
  end(): void {
    this.#view.setUint32(UNDO.queuePlusOne, 0, true);
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

  /** To be called before something is made, or taken away: what is there. What was there at the first attempt counts. */
  noteFound(isThere: boolean, inodeLow = 0, inodeHigh = 0): void {
    if (this.wasThere !== undefined) return;
    this.#view.setUint32(UNDO.foundLow, inodeLow, true);
    this.#view.setUint32(UNDO.foundHigh, inodeHigh, true);
    this.#view.setUint32(UNDO.found, isThere ? 2 : 1, true);
  }

  /** What {@link noteFound} was told of this request; undefined before that. */
  get wasThere(): boolean | undefined {
    const found = this.#view.getUint32(UNDO.found, true);
    return found === 0 ? undefined : found === 2;
  }

  /** Whether that inode was there. */
  wasInode(inodeLow: number, inodeHigh: number): boolean {
    return (
      this.wasThere === true &&
      this.#view.getUint32(UNDO.foundLow, true) === inodeLow &&
      this.#view.getUint32(UNDO.foundHigh, true) === inodeHigh
    );
  }

  /** The queue of the request, or -1. */
  get queueIndex(): number {
    return this.#view.getUint32(UNDO.queuePlusOne, true) - 1;
  }
  get head(): number {
    return this.#view.getUint32(UNDO.head, true);
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
