import { addressOf } from "./libc.js";

const IOVEC_BYTES = 16;
/** The most iovecs that one system call takes. */
export const IOV_MAX = 1024;

/** A preallocated array of `struct iovec`, filled anew for each system call. */
export class Iovecs {
  readonly address: number;
  readonly #view: DataView;

  constructor(readonly capacity: number = IOV_MAX) {
    this.#view = new DataView(new ArrayBuffer(capacity * IOVEC_BYTES));
    this.address = addressOf(this.#view);
  }

  /** Sets iovec `index` to the `byteLength` bytes at address `base`. @throws RangeError outside of the array */
  set(index: number, base: number, byteLength: number): void {
    const offset = index * IOVEC_BYTES;
    // Addresses have 47 bits: two halves, without a bigint.
    this.#view.setUint32(offset, base >>> 0, true);
    this.#view.setUint32(offset + 4, base / 0x1_0000_0000, true);
    this.#view.setUint32(offset + 8, byteLength >>> 0, true);
    this.#view.setUint32(offset + 12, byteLength / 0x1_0000_0000, true);
  }
}
