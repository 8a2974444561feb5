import { preadv } from "../sys/file.js";
import { Iovecs } from "../sys/iovec.js";
import { addressOf } from "../sys/libc.js";
import type { MemoryChunk } from "./guest-memory.js";
import type { IovecArray, SegmentList } from "./segment-list.js";

/** The segments of one request in guest memory, refilled for each request without allocation. */
export class GuestSegments implements SegmentList {
  readonly #chunks: (MemoryChunk | undefined)[];
  readonly #offsets: Float64Array;
  readonly #lengths: Float64Array;
  #count = 0;
  #byteLength = 0;

  constructor(readonly capacity: number) {
    this.#chunks = new Array(capacity).fill(undefined);
    this.#offsets = new Float64Array(capacity);
    this.#lengths = new Float64Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  clear(): void {
    this.#count = 0;
    this.#byteLength = 0;
  }

  /** @returns false if the list is full */
  push(chunk: MemoryChunk, offset: number, length: number): boolean {
    const index = this.#count;
    if (index === this.capacity) return false;
    this.#chunks[index] = chunk;
    this.#offsets[index] = offset;
    this.#lengths[index] = length;
    this.#count = index + 1;
    this.#byteLength += length;
    return true;
  }

  copyIn(offset: number, target: Uint8Array, targetOffset: number, length: number): number {
    let skip = offset;
    let done = 0;
    for (let index = 0; index < this.#count && done < length; index++) {
      const available = (this.#lengths[index] ?? 0) - skip;
      if (available <= 0) {
        skip = -available;
        continue;
      }
      const part = Math.min(available, length - done);
      const chunk = this.#chunks[index];
      if (chunk === undefined) break;
      const at = (this.#offsets[index] ?? 0) + skip;
      if (chunk.isWritable) copy(chunk.bytes, at, target, targetOffset + done, part);
      else if (!readWindow(chunk, at, target, targetOffset + done, part)) break;
      done += part;
      skip = 0;
    }
    return done;
  }

  copyOut(offset: number, source: Uint8Array, sourceOffset: number, length: number): number {
    let skip = offset;
    let done = 0;
    for (let index = 0; index < this.#count && done < length; index++) {
      const available = (this.#lengths[index] ?? 0) - skip;
      if (available <= 0) {
        skip = -available;
        continue;
      }
      const part = Math.min(available, length - done);
      const bytes = this.#chunks[index]?.bytes;
      if (bytes === undefined) break;
      copy(source, sourceOffset + done, bytes, (this.#offsets[index] ?? 0) + skip, part);
      done += part;
      skip = 0;
    }
    return done;
  }

  toIovecs(offset: number, length: number, iovecs: IovecArray): number {
    let skip = offset;
    let rest = length;
    let used = 0;
    for (let index = 0; index < this.#count && rest > 0 && used < iovecs.capacity; index++) {
      const available = (this.#lengths[index] ?? 0) - skip;
      if (available <= 0) {
        skip = -available;
        continue;
      }
      const part = Math.min(available, rest);
      const chunk = this.#chunks[index];
      if (chunk === undefined) break;
      iovecs.set(used++, chunk.hostAddress + (this.#offsets[index] ?? 0) + skip, part);
      rest -= part;
      skip = 0;
    }
    return used;
  }
}

/** Reads from the file behind a window's map. @returns false where the file has no such bytes */
function readWindow(
  chunk: MemoryChunk,
  offset: number,
  target: Uint8Array,
  targetOffset: number,
  length: number,
): boolean {
  const base = addressOf(target) + targetOffset;
  for (let done = 0; done < length; ) {
    windowIovec.set(0, base + done, length - done);
    const count = preadv(chunk.fd, windowIovec.address, 1, chunk.fileOffset + offset + done);
    if (count <= 0) return false;
    done += count;
  }
  return true;
}

const windowIovec = new Iovecs(1);

/** Below this many bytes a loop is faster than making the views that TypedArray.set wants. */
const LOOP_BYTES_MAX = 256;

function copy(from: Uint8Array, fromOffset: number, to: Uint8Array, toOffset: number, length: number): void {
  if (length > LOOP_BYTES_MAX) {
    to.set(from.subarray(fromOffset, fromOffset + length), toOffset);
    return;
  }
  for (let index = 0; index < length; index++) to[toOffset + index] = from[fromOffset + index] ?? 0;
}
