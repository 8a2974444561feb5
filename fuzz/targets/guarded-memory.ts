const GUARD = 0xc3;
const GUARD_BYTES = 64;

/** Memory in which buffers lie with guards between them: what writes past one is seen. */
export class GuardedMemory {
  readonly #bytes: Buffer;
  readonly #guards: Buffer[] = [];
  readonly #intact = Buffer.alloc(GUARD_BYTES, GUARD);
  #used = 0;

  constructor(byteLength: number) {
    this.#bytes = Buffer.alloc(byteLength);
    this.clear();
  }

  /** Frees everything. */
  clear(): void {
    this.#used = 0;
    this.#guards.length = 0;
    this.#guard();
  }

  /** Copies `content` into pieces, cut at `cuts` positions. @throws RangeError when there is no room */
  place(content: Uint8Array, cuts: number): Buffer[] {
    const pieces: Buffer[] = [];
    const pieceBytes = Math.max(1, Math.ceil(content.length / (cuts + 1)));
    for (let at = 0; at < content.length; at += pieceBytes) {
      const part = content.subarray(at, at + pieceBytes);
      const piece = this.#take(part.length);
      piece.set(part);
      pieces.push(piece);
      this.#guard();
    }
    return pieces;
  }

  isGuardIntact(): boolean {
    return this.#guards.every((guard) => guard.equals(this.#intact));
  }

  #guard(): void {
    const guard = this.#take(GUARD_BYTES);
    guard.fill(GUARD);
    this.#guards.push(guard);
  }

  #take(byteLength: number): Buffer {
    if (this.#used + byteLength > this.#bytes.length) throw new RangeError(`no room for ${byteLength} bytes`);
    const taken = this.#bytes.subarray(this.#used, this.#used + byteLength);
    this.#used += byteLength;
    return taken;
  }
}
