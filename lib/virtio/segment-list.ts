/**
 * The device-readable or the device-writable part of one request: segments of guest memory, in order, already checked to lie
 * inside the guest's memory. The lists of a queue are reused for each request; hold nothing of them after the request is done.
 *
 * Guest memory can change at any time under the device. Copy in what is to be validated ({@link copyIn}) and validate the copy.
 */
export interface SegmentList {
  /** Number of segments. */
  readonly count: number;
  /** Sum of the segments' lengths. */
  readonly byteLength: number;
  /**
   * Copies `length` bytes, from `offset` bytes into this list, to `target` at `targetOffset`.
   * @returns the number of bytes copied: less than `length` only where the list ends, or where it lies in a DAX window and the file
   * behind that ends.
   */
  copyIn(offset: number, target: Uint8Array, targetOffset: number, length: number): number;
  /**
   * Copies `length` bytes of `source` from `sourceOffset` into this list, from `offset` bytes on.
   * @returns the number of bytes copied: less than `length` only where the list ends.
   */
  copyOut(offset: number, source: Uint8Array, sourceOffset: number, length: number): number;
  /**
   * Writes an iovec array for the `length` bytes from `offset` on, for readv(2) and writev(2) in place.
   * @returns how many iovecs were written; at most `iovecs.capacity`.
   */
  toIovecs(offset: number, length: number, iovecs: IovecArray): number;
}

/** A preallocated array of `struct iovec`. */
export interface IovecArray {
  readonly capacity: number;
  /** Address of the first iovec, for the system call. */
  readonly address: number;
  /** Sets iovec `index` to `byteLength` bytes at the host virtual address `base`. */
  set(index: number, base: number, byteLength: number): void;
}

/** What a device does with the requests of its queues. */
export interface RequestHandler {
  /**
   * Serves one request of queue `queueIndex` completely before it returns.
   * @returns the number of bytes written to `writable`, for the used ring; or -1 if the request stays with the device, which
   * completes it later by `Virtqueue.complete(head, written)`.
   */
  handle(queueIndex: number, head: number, readable: SegmentList, writable: SegmentList): number;
}
