import { discard } from "../../lib/sys/discard.js";
import { EXTENTS, type FsdState } from "../state.js";

/**
 * Memory for what does not fit into the record of an inode, in pieces of a few units. A piece is named by its first unit; 0 stands
 * for "none".
 */
export class InodeExtents {
  readonly #memory: DataView;
  readonly #unitCount: number;

  constructor(state: FsdState) {
    this.#memory = state.inodeExtents;
    this.#unitCount = Math.floor(state.inodeExtents.byteLength / EXTENTS.unitBytes);
    if (this.#get(EXTENTS.used) === 0) this.#set(EXTENTS.used, 1);
  }

  /** Takes a piece of at least `byteLength` bytes, {@link EXTENTS.unitsMax} units at most. @returns 0 if there is none left */
  take(byteLength: number): number {
    const units = unitsOf(byteLength);
    if (units > EXTENTS.unitsMax) throw new RangeError(`${byteLength} bytes are more than one piece has`);
    const list = EXTENTS.free + 4 * (units - 1);
    let unit = this.#get(list);
    if (unit !== 0) {
      this.#set(list, this.#get(unit * EXTENTS.unitBytes));
    } else {
      unit = this.#get(EXTENTS.used);
      if (unit + units > this.#unitCount) return 0;
      this.#set(EXTENTS.used, unit + units);
    }
    this.#set(EXTENTS.live, this.#get(EXTENTS.live) + 1);
    return unit;
  }

  /** Gives back a piece. With the last one the memory goes back to the kernel. */
  give(unit: number, byteLength: number): void {
    const live = this.#get(EXTENTS.live) - 1;
    if (live === 0) {
      discard(this.#memory, 0, this.#get(EXTENTS.used) * EXTENTS.unitBytes);
      this.#set(EXTENTS.used, 1);
      return;
    }
    const list = EXTENTS.free + 4 * (unitsOf(byteLength) - 1);
    this.#set(EXTENTS.live, live);
    this.#set(unit * EXTENTS.unitBytes, this.#get(list));
    this.#set(list, unit);
  }

  /** Where the piece begins in `inodeExtents`. */
  static offset(unit: number): number {
    return unit * EXTENTS.unitBytes;
  }

  #get(offset: number): number {
    return this.#memory.getUint32(offset, true);
  }
  #set(offset: number, value: number): void {
    this.#memory.setUint32(offset, value, true);
  }
}

function unitsOf(byteLength: number): number {
  return Math.max(1, Math.ceil(byteLength / EXTENTS.unitBytes));
}
