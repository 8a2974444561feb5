/** 32-bit numbers at which something may go over an edge: sizes, signs, pages, chunks. */
const EDGES = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 39, 40, 63, 64, 80, 127, 128, 255, 256, 4095, 4096, 4097, 0x7fff,
  0x8000, 0xffff, 0x1_0000, 0x10_0000, 0x20_0000, 0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0x8000_0000,
  0xffff_f000, 0xffff_fffe, 0xffff_ffff,
];

/**
 * An input read as a row of decisions. A target asks it what to do next, so that changing a few bytes changes what is done and
 * leaves the rest of the story as it was. Behind its end every decision is 0, the dullest one.
 */
export class Decisions {
  #at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  get isOver(): boolean {
    return this.#at >= this.bytes.length;
  }

  byte(): number {
    return this.bytes[this.#at++] ?? 0;
  }

  uint16(): number {
    return this.byte() | (this.byte() << 8);
  }

  uint32(): number {
    return (this.uint16() | (this.uint16() << 16)) >>> 0;
  }

  /** A whole number from 0 to `limit` - 1; `limit` is at most 65536. */
  below(limit: number): number {
    return (limit <= 256 ? this.byte() : this.uint16()) % limit;
  }

  /** True for about `chances` of 256 values. */
  happens(chances: number): boolean {
    return this.byte() > 255 - chances;
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    const one = list[this.below(list.length)];
    if (one === undefined) throw new RangeError("nothing to pick from");
    return one;
  }

  /** A 32-bit number: most often a small one, sometimes an edge, sometimes any. */
  number32(): number {
    const kind = this.byte();
    if (kind < 160) return kind & 15;
    return kind < 224 ? this.pick(EDGES) : this.uint32();
  }

  number64(): bigint {
    const low = BigInt(this.number32());
    if (!this.happens(48)) return low;
    return (BigInt(this.number32()) << 32n) | low;
  }

  /** The next `length` bytes. */
  take(length: number): Uint8Array {
    const taken = new Uint8Array(length);
    taken.set(this.bytes.subarray(this.#at, this.#at + length));
    this.#at += length;
    return taken;
  }
}
