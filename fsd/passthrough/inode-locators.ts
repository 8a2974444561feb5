import type { FileHandle } from "../../lib/sys/file-handle.js";
import { type FsdState, INODE } from "../state.js";
import { InodeExtents } from "./inode-extents.js";

/** How inodes are opened again: the file handle of each, short ones in its record. */
export class InodeLocators {
  readonly #records: DataView;
  readonly #recordBytes: Uint8Array;
  readonly #extents: InodeExtents;
  readonly #extentBytes: Uint8Array;

  constructor(state: FsdState) {
    this.#records = state.inodes;
    this.#recordBytes = new Uint8Array(state.inodes.buffer);
    this.#extents = new InodeExtents(state);
    this.#extentBytes = new Uint8Array(state.inodeExtents.buffer);
  }

  /** Stores the inode's file handle. @returns whether there was room for it */
  setHandle(slot: number, handle: FileHandle): boolean {
    const record = slot * INODE.bytes;
    const length = handle.byteLength;
    let target = this.#recordBytes;
    let at = record + INODE.locator;
    if (length > INODE.locatorInlineBytes) {
      const unit = this.#extents.take(length);
      if (unit === 0) return false;
      this.#records.setUint32(record + INODE.locator, unit, true);
      target = this.#extentBytes;
      at = InodeExtents.offset(unit);
    }
    for (let index = 0; index < length; index++) target[at + index] = handle.bytes[index] ?? 0;
    this.#records.setUint16(record + INODE.locatorType, handle.type, true);
    this.#records.setUint16(record + INODE.locatorLength, length, true);
    return true;
  }

  /** Whether the inode has a file handle. */
  hasHandle(slot: number): boolean {
    return this.#length(slot) !== 0;
  }

  /** Puts the inode's file handle into `handle`. */
  getHandle(slot: number, handle: FileHandle): void {
    const length = this.#length(slot);
    const source = this.#bytes(slot);
    const at = this.#offset(slot);
    for (let index = 0; index < length; index++) handle.bytes[index] = source[at + index] ?? 0;
    handle.set(this.#records.getUint16(slot * INODE.bytes + INODE.locatorType, true), length);
  }

  /** Whether `handle` is the inode's. */
  isHandle(slot: number, handle: FileHandle): boolean {
    const length = this.#length(slot);
    if (length !== handle.byteLength) return false;
    if (this.#records.getUint16(slot * INODE.bytes + INODE.locatorType, true) !== handle.type) return false;
    const bytes = this.#bytes(slot);
    const at = this.#offset(slot);
    for (let index = 0; index < length; index++) {
      if (bytes[at + index] !== handle.bytes[index]) return false;
    }
    return true;
  }

  /** The inode leaves the table. */
  drop(slot: number): void {
    const length = this.#length(slot);
    if (length > INODE.locatorInlineBytes) {
      this.#extents.give(this.#records.getUint32(slot * INODE.bytes + INODE.locator, true), length);
    }
    this.#records.setUint16(slot * INODE.bytes + INODE.locatorLength, 0, true);
  }

  #length(slot: number): number {
    return this.#records.getUint16(slot * INODE.bytes + INODE.locatorLength, true);
  }
  #bytes(slot: number): Uint8Array {
    return this.#length(slot) > INODE.locatorInlineBytes ? this.#extentBytes : this.#recordBytes;
  }
  #offset(slot: number): number {
    const inline = slot * INODE.bytes + INODE.locator;
    if (this.#length(slot) <= INODE.locatorInlineBytes) return inline;
    return InodeExtents.offset(this.#records.getUint32(inline, true));
  }
}
