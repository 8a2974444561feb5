import { Errno } from "../../lib/sys/errno.js";
import { addressOf } from "../../lib/sys/libc.js";
import type { SegmentList } from "../../lib/virtio/segment-list.js";
import { IN_HEADER_BYTES, Opcode } from "./constants.js";

/** struct fuse_write_in behind the header; what follows is payload and stays in guest memory. */
const WRITE_PAYLOAD_OFFSET = IN_HEADER_BYTES + 40;
/** Holds the largest request but WRITE: SETXATTR with a name and a value of 64 KiB. A BATCH_FORGET counts as far as it fits. */
const CAPACITY_BYTES = 72 * 1024;
const NAME_MAX = 255;

const SLASH = 0x2f;
const DOT = 0x2e;
const TWO_POW_32 = 0x1_0000_0000;

/**
 * The request being served: a private copy of everything but a WRITE's payload, so that the guest cannot change what has
 * been checked. One object serves all requests, one after the other.
 *
 * Fields of struct fuse_in_header are read at {@link load}; the arguments that follow are read by offset from the start of
 * the request, and a read behind {@link length} is an error of the guest's that {@link has} tells in advance.
 */
export class FuseRequest {
  readonly view = new DataView(new ArrayBuffer(CAPACITY_BYTES));
  readonly bytes = new Uint8Array(this.view.buffer);
  /** Address of the private copy. */
  readonly address = addressOf(this.view);

  length = 0;
  opcode = 0;
  nodeIdLow = 0;
  nodeIdHigh = 0;
  uid = 0;
  gid = 0;
  /** The thread in the guest, 0 for requests of the guest's kernel itself. */
  pid = 0;

  /** Set by {@link takeName}: where the name's bytes are, and where the byte behind its NUL is. */
  nameOffset = 0;
  nameEnd = 0;

  readable: SegmentList = emptyList;
  writable: SegmentList = emptyList;

  /**
   * Copies in a request. @returns 0, or -errno: EINVAL for a request whose length field does not fit its descriptors, E2BIG for one that no
   * guest has reason to send.
   */
  load(readable: SegmentList, writable: SegmentList): number {
    this.readable = readable;
    this.writable = writable;
    const available = readable.byteLength;
    const first = Math.min(available, WRITE_PAYLOAD_OFFSET);
    let copied = readable.copyIn(0, this.bytes, 0, first);
    // Less than there is: it lies in the DAX window, where the file behind it has ended.
    if (copied < IN_HEADER_BYTES || copied < first) {
      this.opcode = 0;
      return -Errno.EINVAL;
    }
    this.#readHeader();
    const { length } = this;
    if (length < IN_HEADER_BYTES || length > available) return -Errno.EINVAL;
    if (this.opcode === Opcode.WRITE) return 0;
    if (length > CAPACITY_BYTES) {
      if (this.opcode !== Opcode.BATCH_FORGET) return -Errno.E2BIG;
      this.length = CAPACITY_BYTES;
    }
    if (this.length > copied) copied += readable.copyIn(copied, this.bytes, copied, this.length - copied);
    return copied < this.length ? -Errno.EINVAL : 0;
  }

  #readHeader(): void {
    const { view } = this;
    this.length = view.getUint32(0, true);
    this.opcode = view.getUint32(4, true);
    this.nodeIdLow = view.getUint32(16, true);
    this.nodeIdHigh = view.getUint32(20, true);
    this.uid = view.getUint32(24, true);
    this.gid = view.getUint32(28, true);
    this.pid = view.getUint32(32, true);
  }

  /** Takes up a request again from a copy of its header and arguments. */
  loadCopy(copy: Uint8Array): void {
    this.bytes.set(copy);
    this.#readHeader();
    this.length = copy.byteLength;
  }

  /** Whether the request reaches to `end`, counted from its start. */
  has(end: number): boolean {
    return end <= this.length;
  }

  uint32(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  /** An unsigned 64-bit field as a number: exact below 2^53, some number above it otherwise. */
  uint64(offset: number): number {
    return this.view.getUint32(offset, true) + this.view.getUint32(offset + 4, true) * TWO_POW_32;
  }

  /**
   * A signed 64-bit field that counts bytes of a file, for a system call, and `plus`: a number while that is exact, which it is up to
   * 8 PiB.
   */
  offset(offset: number, plus: number): number | bigint {
    const sum = this.uint64(offset) + plus;
    return Number.isSafeInteger(sum) ? sum : this.view.getBigInt64(offset, true) + BigInt(plus);
  }

  /** Finds the NUL-terminated string at `offset`. @returns its length, or -EINVAL if it does not end inside the request. */
  takeString(offset: number): number {
    if (offset >= this.length) return -Errno.EINVAL;
    const end = this.bytes.indexOf(0, offset);
    if (end < 0 || end >= this.length) return -Errno.EINVAL;
    this.nameOffset = offset;
    this.nameEnd = end + 1;
    return end - offset;
  }

  /**
   * Finds and checks the file name at `offset`: one component, not "." or "..".
   * @returns its address, or -errno.
   */
  takeName(offset: number): number {
    const length = this.takeString(offset);
    if (length < 0) return length;
    if (length === 0) return -Errno.EINVAL;
    if (length > NAME_MAX) return -Errno.ENAMETOOLONG;
    const bytes = this.bytes;
    if (bytes[offset] === DOT && (length === 1 || (length === 2 && bytes[offset + 1] === DOT)))
      return -Errno.EINVAL;
    for (let index = offset; index < offset + length; index++) {
      if (bytes[index] === SLASH) return -Errno.EINVAL;
    }
    return this.address + offset;
  }
}

const emptyList: SegmentList = {
  count: 0,
  byteLength: 0,
  copyIn: () => 0,
  copyOut: () => 0,
  toIovecs: () => 0,
};
