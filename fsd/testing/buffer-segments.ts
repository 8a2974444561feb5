import { addressOf } from "../../lib/sys/libc.js";
import type { IovecArray, SegmentList } from "../../lib/virtio/segment-list.js";

/** A segment list over ordinary memory, cut into pieces as a guest's driver might have. For tests. */
export class BufferSegments implements SegmentList {
  readonly #segments: readonly Uint8Array[];

  constructor(segments: readonly Uint8Array[]) {
    this.#segments = segments;
  }

  /** Cuts a copy of `bytes` at the given positions, each piece in memory of its own. */
  static cut(bytes: Uint8Array, positions: readonly number[]): BufferSegments {
    const edges = [
      0,
      ...positions.filter((at) => at > 0 && at < bytes.length).sort((a, b) => a - b),
      bytes.length,
    ];
    const pieces = edges.slice(1).map((end, index) => bytes.slice(edges[index], end));
    return new BufferSegments(pieces.filter((piece) => piece.length > 0));
  }

  get count(): number {
    return this.#segments.length;
  }

  get byteLength(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.length, 0);
  }

  /** All segments, one after the other. */
  bytes(): Buffer {
    return Buffer.concat(this.#segments);
  }

  copyIn(offset: number, target: Uint8Array, targetOffset: number, length: number): number {
    let done = 0;
    for (const part of this.#parts(offset, length)) {
      target.set(part, targetOffset + done);
      done += part.length;
    }
    return done;
  }

  copyOut(offset: number, source: Uint8Array, sourceOffset: number, length: number): number {
    let done = 0;
    for (const part of this.#parts(offset, length)) {
      part.set(source.subarray(sourceOffset + done, sourceOffset + done + part.length));
      done += part.length;
    }
    return done;
  }

  toIovecs(offset: number, length: number, iovecs: IovecArray): number {
    let count = 0;
    for (const part of this.#parts(offset, length)) {
      if (count === iovecs.capacity) break;
      iovecs.set(count++, addressOf(part.buffer as ArrayBuffer) + part.byteOffset, part.length);
    }
    return count;
  }

  *#parts(offset: number, length: number): Generator<Uint8Array> {
    let skip = offset;
    let left = length;
    for (const segment of this.#segments) {
      if (skip >= segment.length) {
        skip -= segment.length;
        continue;
      }
      const part = segment.subarray(skip, Math.min(segment.length, skip + left));
      skip = 0;
      left -= part.length;
      if (part.length > 0) yield part;
      if (left === 0) return;
    }
  }
}
