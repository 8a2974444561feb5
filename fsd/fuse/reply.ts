import { addressOf } from "../../lib/sys/libc.js";
import type { Statx } from "../../lib/sys/statx.js";
import { OUT_HEADER_BYTES } from "./constants.js";

/** The largest body that is built here: LISTXATTR, GETXATTR or READDIR of 64 KiB. READ answers right into guest memory. */
export const REPLY_BODY_MAX_BYTES = 64 * 1024;

/** The reply being built, one object for all requests: struct fuse_out_header, then the body at {@link OUT_HEADER_BYTES}. */
export class FuseReply {
  readonly view = new DataView(new ArrayBuffer(OUT_HEADER_BYTES + REPLY_BODY_MAX_BYTES));
  readonly bytes = new Uint8Array(this.view.buffer);
  readonly bodyAddress = addressOf(this.view) + OUT_HEADER_BYTES;
  /** Set by an operation that has put the body into guest memory itself: only the header is left to write. */
  bodyIsInPlace = false;
}

/** A time that the guest may cache something for: struct fuse_entry_out and fuse_attr_out count seconds and nanoseconds. */
export interface Validity {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** Writes struct fuse_attr_out without its attr. */
export function writeAttrValidity(view: DataView, offset: number, validity: Validity): void {
  view.setUint32(offset, validity.seconds, true);
  view.setUint32(offset + 4, 0, true);
  view.setUint32(offset + 8, validity.nanoseconds, true);
  view.setUint32(offset + 12, 0, true);
}

/** Writes struct fuse_entry_out without its attr. Node ids are never used twice, so the generation is always 0. */
export function writeEntry(
  view: DataView,
  offset: number,
  nodeIdLow: number,
  nodeIdHigh: number,
  entry: Validity,
  attr: Validity,
): void {
  view.setUint32(offset, nodeIdLow, true);
  view.setUint32(offset + 4, nodeIdHigh, true);
  view.setUint32(offset + 8, 0, true);
  view.setUint32(offset + 12, 0, true);
  view.setUint32(offset + 16, entry.seconds, true);
  view.setUint32(offset + 20, 0, true);
  view.setUint32(offset + 24, attr.seconds, true);
  view.setUint32(offset + 28, 0, true);
  view.setUint32(offset + 32, entry.nanoseconds, true);
  view.setUint32(offset + 36, attr.nanoseconds, true);
}

/** Where struct fuse_attr stands in struct fuse_entry_out and struct fuse_attr_out. */
export const ENTRY_ATTR_OFFSET = 40;
export const ATTR_OUT_ATTR_OFFSET = 16;
/** Where the flags stand in struct fuse_attr. */
export const ATTR_FLAGS_OFFSET = 84;

/** Writes struct fuse_attr. Given apart is what differs from the host's: the inode number, and the owners where ids are translated. */
export function writeAttr(
  view: DataView,
  offset: number,
  statx: Statx,
  inodeLow: number,
  inodeHigh: number,
  uid: number,
  gid: number,
  attrFlags: number,
): void {
  view.setUint32(offset, inodeLow, true);
  view.setUint32(offset + 4, inodeHigh, true);
  view.setUint32(offset + 8, statx.sizeLow, true);
  view.setUint32(offset + 12, statx.sizeHigh, true);
  view.setUint32(offset + 16, statx.blocksLow, true);
  view.setUint32(offset + 20, statx.blocksHigh, true);
  view.setUint32(offset + 24, statx.accessedLow, true);
  view.setUint32(offset + 28, statx.accessedHigh, true);
  view.setUint32(offset + 32, statx.modifiedLow, true);
  view.setUint32(offset + 36, statx.modifiedHigh, true);
  view.setUint32(offset + 40, statx.changedLow, true);
  view.setUint32(offset + 44, statx.changedHigh, true);
  view.setUint32(offset + 48, statx.accessedNanoseconds, true);
  view.setUint32(offset + 52, statx.modifiedNanoseconds, true);
  view.setUint32(offset + 56, statx.changedNanoseconds, true);
  view.setUint32(offset + 60, statx.mode, true);
  view.setUint32(offset + 64, statx.linkCount, true);
  view.setUint32(offset + 68, uid, true);
  view.setUint32(offset + 72, gid, true);
  view.setUint32(offset + 76, encodeDevice(statx.rdevMajor, statx.rdevMinor), true);
  view.setUint32(offset + 80, statx.blockBytes, true);
  view.setUint32(offset + ATTR_FLAGS_OFFSET, attrFlags, true);
}

/** Device numbers on the wire: 12 bits of major between the low 8 and the high 12 bits of minor (new_encode_dev). */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

/** Writes struct fuse_open_out. */
export function writeOpen(
  view: DataView,
  offset: number,
  fhLow: number,
  fhHigh: number,
  openFlags: number,
): void {
  view.setUint32(offset, fhLow, true);
  view.setUint32(offset + 4, fhHigh, true);
  view.setUint32(offset + 8, openFlags, true);
  view.setUint32(offset + 12, 0, true);
}
