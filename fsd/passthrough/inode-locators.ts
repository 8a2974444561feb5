import type { FileHandle } from "../../lib/sys/file-handle.js";
import { addressOf } from "../../lib/sys/libc.js";
import { type FsdState, INODE, LOCATOR_IS_NAME, NAME_LOCATOR } from "../state.js";
import { InodeExtents } from "./inode-extents.js";

/** Where names are taken from: bytes, and the address of the first of them. */
export interface NameSource {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** How inodes are opened again: by the file handle of each, or by a directory and a name in it. Short ones are in the inode's record. */
export class InodeLocators {
  readonly #records: DataView;
  readonly #recordBytes: Uint8Array;
  readonly #recordAddress: number;
  readonly #extents: InodeExtents;
  readonly #extentView: DataView;
  readonly #extentBytes: Uint8Array;
  readonly #extentAddress: number;

  constructor(state: FsdState) {
    this.#records = state.inodes;
    this.#recordBytes = new Uint8Array(state.inodes.buffer);
    this.#recordAddress = addressOf(state.inodes);
    this.#extents = new InodeExtents(state);
    this.#extentView = state.inodeExtents;
    this.#extentBytes = new Uint8Array(state.inodeExtents.buffer);
    this.#extentAddress = addressOf(state.inodeExtents);
  }

  /** Whether there is a way to open the inode again. */
  has(slot: number): boolean {
    return this.#length(slot) !== 0;
  }

  isName(slot: number): boolean {
    return this.has(slot) && this.#type(slot) === LOCATOR_IS_NAME;
  }

  /** Stores the inode's file handle in place of what there was. @returns whether there was room for it */
  setHandle(slot: number, handle: FileHandle): boolean {
    const length = handle.byteLength;
    if (!this.#take(slot, handle.type, length)) return false;
    const target = this.#bytes(slot);
    const at = this.#offset(slot);
    for (let index = 0; index < length; index++) target[at + index] = handle.bytes[index] ?? 0;
    return true;
  }

  /** Puts the inode's file handle into `handle`. */
  getHandle(slot: number, handle: FileHandle): void {
    const length = this.#length(slot);
    const source = this.#bytes(slot);
    const at = this.#offset(slot);
    for (let index = 0; index < length; index++) handle.bytes[index] = source[at + index] ?? 0;
    handle.set(this.#type(slot), length);
  }

  /** Whether `handle` is the inode's. */
  isHandle(slot: number, handle: FileHandle): boolean {
    const length = this.#length(slot);
    if (length !== handle.byteLength || this.#type(slot) !== handle.type) return false;
    const bytes = this.#bytes(slot);
    const at = this.#offset(slot);
    for (let index = 0; index < length; index++) {
      if (bytes[at + index] !== handle.bytes[index]) return false;
    }
    return true;
  }

  /** Stores that the inode has the name at `offset` of `source`, to a NUL, in a directory. @returns whether there was room for it */
  setName(slot: number, parent: number, source: NameSource, offset: number): boolean {
    const nameBytes = source.bytes.indexOf(0, offset) + 1 - offset;
    if (!this.#take(slot, LOCATOR_IS_NAME, NAME_LOCATOR.name + nameBytes)) return false;
    this.#view(slot).setUint32(this.#offset(slot) + NAME_LOCATOR.parent, parent, true);
    const target = this.#bytes(slot);
    const at = this.#offset(slot) + NAME_LOCATOR.name;
    for (let index = 0; index < nameBytes; index++) target[at + index] = source.bytes[offset + index] ?? 0;
    return true;
  }

  /** Whether the inode is found by the name at `offset` of `source` in that directory. */
  isNameIn(slot: number, parent: number, source: NameSource, offset: number): boolean {
    if (!this.isName(slot) || this.parent(slot) !== parent) return false;
    const bytes = this.#bytes(slot);
    const at = this.#offset(slot) + NAME_LOCATOR.name;
    const length = this.#length(slot) - NAME_LOCATOR.name;
    for (let index = 0; index < length; index++) {
      if (bytes[at + index] !== source.bytes[offset + index]) return false;
    }
    return true;
  }

  /** The directory that the inode is found in by a name, or 0. */
  parent(slot: number): number {
    return this.isName(slot) ? this.#view(slot).getUint32(this.#offset(slot) + NAME_LOCATOR.parent, true) : 0;
  }

  /** Address of the name in {@link parent}. */
  nameAddress(slot: number): number {
    const isInline = this.#length(slot) <= INODE.locatorInlineBytes;
    return (isInline ? this.#recordAddress : this.#extentAddress) + this.#offset(slot) + NAME_LOCATOR.name;
  }

  /** The inode has no way to be opened again from now on. */
  drop(slot: number): void {
    const length = this.#length(slot);
    if (length > INODE.locatorInlineBytes) {
      this.#extents.give(this.#records.getUint32(slot * INODE.bytes + INODE.locator, true), length);
    }
    this.#records.setUint16(slot * INODE.bytes + INODE.locatorLength, 0, true);
  }

  /** Makes room for a locator in place of what there was. @returns whether there was any; if not, what there was stays */
  #take(slot: number, type: number, length: number): boolean {
    const record = slot * INODE.bytes;
    const unit = length > INODE.locatorInlineBytes ? this.#extents.take(length) : 0;
    if (unit === 0 && length > INODE.locatorInlineBytes) return false;
    this.drop(slot);
    this.#records.setUint16(record + INODE.locatorType, type, true);
    this.#records.setUint16(record + INODE.locatorLength, length, true);
    if (unit !== 0) this.#records.setUint32(record + INODE.locator, unit, true);
    return true;
  }

  #type(slot: number): number {
    return this.#records.getUint16(slot * INODE.bytes + INODE.locatorType, true);
  }
  #length(slot: number): number {
    return this.#records.getUint16(slot * INODE.bytes + INODE.locatorLength, true);
  }
  #view(slot: number): DataView {
    return this.#length(slot) > INODE.locatorInlineBytes ? this.#extentView : this.#records;
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
