import { Errno } from "../../lib/sys/errno.js";
import { getdents64, S_IFDIR, SEEK_SET } from "../../lib/sys/file.js";
import { addressOf, bind, lastErrno } from "../../lib/sys/libc.js";
import {
  DIRENT_HEADER_BYTES,
  ENTRY_OUT_BYTES,
  FUSE_NO_OPENDIR_SUPPORT,
  IN_HEADER_BYTES,
  OUT_HEADER_BYTES,
} from "../fuse/constants.js";
import { type FuseReply, REPLY_BODY_MAX_BYTES } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import { HandleKind } from "./handle-table.js";
import { guestInodeHigh } from "./inode-number.js";
import { ROOT_SLOT } from "./inode-table.js";
import type { Operation } from "./operation.js";

const ARGUMENTS = IN_HEADER_BYTES;
const READ_IN_BYTES = 40;
const DOT = 0x2e;
const DT_UNKNOWN = 0;
/** From the file type in a mode to a DT_ number. */
const TYPE_SHIFT = 12;

// struct linux_dirent64.
const D_INO = 0;
const D_OFF = 8;
const D_RECLEN = 16;
const D_TYPE = 18;
const D_NAME = 19;
/** Room for one entry with the longest name. */
const DIRENT_MAX_BYTES = 288;

/** The smallest entry, and by how much entries can grow on their way to the guest: plain, and with their inode. */
const DIRENT_MIN_BYTES = 24;
const PLAIN_GROWTH = 32 / DIRENT_MIN_BYTES;
const PLUS_GROWTH = 160 / DIRENT_MIN_BYTES;

/** Stored as the position of a directory whose descriptor has gone, or may have gone, past the last entry that the guest was given. */
const POSITION_UNKNOWN = 0xffff_ffff;

/** lseek(2) with an exact 64-bit offset. */
const seekDirectory = bind<(fd: number, offset: bigint, whence: number) => number | bigint>(
  "int64_t lseek(int fd, int64_t offset, int whence)",
);

/** What getdents64 fills; entries are passed on from here before the next request, so one serves all directories. */
const dents = new DataView(new ArrayBuffer(32 * 1024));
const dentsBytes = new Uint8Array(dents.buffer);
const dentsAddress = addressOf(dents);
const dentNames = { bytes: dentsBytes, address: dentsAddress };

export const readdir: Operation = (fs, request, reply) => readEntries(fs, request, reply, false);

export const readdirplus: Operation = (fs, request, reply) => readEntries(fs, request, reply, true);

/**
 * Offsets are the host's own (`d_off`), so a directory that changes under the guest behaves as it does on the host, and a worker that
 * takes over needs nothing but the descriptor.
 */
function readEntries(fs: FileSystem, request: FuseRequest, reply: FuseReply, plus: boolean): number {
  const directory = fs.inodeOf(request);
  if (directory === 0) return -Errno.ESTALE;
  if (!request.has(ARGUMENTS + READ_IN_BYTES)) return -Errno.EINVAL;
  const low = request.uint32(ARGUMENTS);
  const handle = fs.handles.slotOf(low, request.uint32(ARGUMENTS + 4), HandleKind.directory);
  const fd = handle !== 0 ? fs.handles.fd(handle) : directoryWithoutHandle(fs, request, directory);
  if (fd < 0) return fd;
  const room = request.writable.byteLength - OUT_HEADER_BYTES;
  const size = Math.min(request.uint32(ARGUMENTS + 16), room, REPLY_BODY_MAX_BYTES);

  const seek = seekTo(fs, fd, handle, request);
  if (seek < 0) return seek;
  const growth = plus ? PLUS_GROWTH : PLAIN_GROWTH;
  let written = 0;
  for (;;) {
    // No more than what fits for certain, so that the descriptor stands where the guest goes on, without seeking back: on some file systems
    // an offset is a count of entries, and loses its meaning when entries before it are removed.
    const fitting = Math.floor((size - written) / growth);
    if (written > 0 && fitting < DIRENT_MIN_BYTES) break;
    const wanted = written > 0 ? fitting : Math.max(fitting, DIRENT_MAX_BYTES);
    const positionLow = fs.handles.positionLow(handle);
    const positionHigh = fs.handles.positionHigh(handle);
    // A worker that dies now leaves a descriptor that is beyond what the guest was given.
    remember(fs, handle, POSITION_UNKNOWN, POSITION_UNKNOWN);
    const length = getdents64(fd, dentsAddress, Math.min(wanted, dents.byteLength));
    if (length <= 0) remember(fs, handle, positionLow, positionHigh);
    if (length === 0) break;
    if (length < 0) {
      // EINVAL if there is no room for the next name; any other error meets the guest when it asks again.
      if (written > 0) break;
      return -lastErrno();
    }
    const end = passOn(fs, reply, directory, handle, plus, length, written, size);
    if (end < 0 || wanted > fitting) return end;
    written = end;
  }
  return written;
}

/**
 * Writes the first `length` bytes of {@link dents} as the guest wants them, behind `written` bytes of the reply.
 * @returns the length of the reply's body then; or -EINVAL if not even one entry fits into `size`
 */
function passOn(
  fs: FileSystem,
  reply: FuseReply,
  directory: number,
  handle: number,
  plus: boolean,
  length: number,
  written: number,
  size: number,
): number {
  let end = written;
  let entry = 0;
  let last = 0;
  while (entry < length) {
    const nameLength = nameLengthAt(entry);
    const headBytes = plus ? ENTRY_OUT_BYTES + DIRENT_HEADER_BYTES : DIRENT_HEADER_BYTES;
    const recordBytes = (headBytes + nameLength + 7) & ~7;
    if (end + recordBytes > size) {
      remember(fs, handle, POSITION_UNKNOWN, POSITION_UNKNOWN);
      return end > 0 ? end : -Errno.EINVAL;
    }
    const record = OUT_HEADER_BYTES + end;
    if (plus) writeEntryOf(fs, reply, record, directory, entry, nameLength);
    writeDirent(fs, reply, record + headBytes - DIRENT_HEADER_BYTES, directory, entry, nameLength);
    for (let pad = record + headBytes + nameLength; pad < record + recordBytes; pad++) reply.bytes[pad] = 0;
    end += recordBytes;
    last = entry;
    entry += dents.getUint16(entry + D_RECLEN, true);
  }
  remember(fs, handle, dents.getUint32(last + D_OFF, true), dents.getUint32(last + D_OFF + 4, true));
  return end;
}

/** Length of an entry's name. Records are padded to 8 bytes, so the NUL is among the last 8; what is behind it means nothing. */
function nameLengthAt(entry: number): number {
  let length = Math.max(dents.getUint16(entry + D_RECLEN, true) - 8 - D_NAME, 0);
  while (dentsBytes[entry + D_NAME + length] !== 0) length++;
  return length;
}

/** The descriptor of a directory that the guest reads without OPENDIR. @returns -errno if there is none */
function directoryWithoutHandle(fs: FileSystem, request: FuseRequest, directory: number): number {
  if (request.uint64(ARGUMENTS) !== 0 || !fs.session.doesWithout(FUSE_NO_OPENDIR_SUPPORT))
    return -Errno.EBADF;
  return fs.inodes.type(directory) === S_IFDIR ? fs.readDescriptors.of(directory) : -Errno.ENOTDIR;
}

/** Stores where the descriptor of a handle stands. */
function remember(fs: FileSystem, handle: number, low: number, high: number): void {
  if (handle !== 0) fs.handles.setPosition(handle, low, high);
}

/** Moves the directory to the offset that the guest asks for, if it is not there already. @returns 0, or -errno. */
function seekTo(fs: FileSystem, fd: number, handle: number, request: FuseRequest): number {
  const low = request.uint32(ARGUMENTS + 8);
  const high = request.uint32(ARGUMENTS + 12);
  const isThere =
    handle !== 0 && low === fs.handles.positionLow(handle) && high === fs.handles.positionHigh(handle);
  if (isThere) return 0;
  // Cookies of hashed directories use all 63 bits: too many for a number.
  if (seekDirectory(fd, request.view.getBigInt64(ARGUMENTS + 8, true), SEEK_SET) < 0) return -lastErrno();
  remember(fs, handle, low, high);
  return 0;
}

/**
 * Writes struct fuse_entry_out of an entry, referenced once more. Where that is not possible, and for "." and "..", the node id is 0, which
 * leaves the guest to look the name up: dropping the entry would hide a file for want of a descriptor.
 */
function writeEntryOf(
  fs: FileSystem,
  reply: FuseReply,
  offset: number,
  directory: number,
  entry: number,
  nameLength: number,
): void {
  const slot = isDots(entry, nameLength) ? 0 : fs.lookup(directory, dentNames, entry + D_NAME);
  if (slot > 0) fs.attributes.writeEntry(reply.view, offset, directory, slot);
  else reply.bytes.fill(0, offset, offset + ENTRY_OUT_BYTES);
}

/** Writes struct fuse_dirent and its name. */
function writeDirent(
  fs: FileSystem,
  reply: FuseReply,
  offset: number,
  directory: number,
  entry: number,
  nameLength: number,
): void {
  const view = reply.view;
  const device = fs.inodes.device(directory);
  let inodeLow = dents.getUint32(entry + D_INO, true);
  let inodeHigh = dents.getUint32(entry + D_INO + 4, true);
  let type = dents.getUint8(entry + D_TYPE);
  if (directory === ROOT_SLOT && nameLength === 2 && isDots(entry, nameLength)) {
    // What is above the shared directory is none of the guest's business.
    inodeLow = fs.inodes.inodeLow(directory);
    inodeHigh = fs.inodes.inodeHigh(directory);
  }
  if (type === DT_UNKNOWN && !isDots(entry, nameLength)) {
    // overlayfs in the guest relies on the type; some file systems do not keep it in the directory.
    const nameAddress = dentsAddress + entry + D_NAME;
    const directoryFd = fs.pathFd(directory);
    if (directoryFd >= 0 && fs.statx.readName(directoryFd, nameAddress) === 0)
      type = fs.statx.mode >>> TYPE_SHIFT;
  }
  view.setUint32(offset, inodeLow, true);
  view.setUint32(offset + 4, guestInodeHigh(inodeHigh, device), true);
  view.setUint32(offset + 8, dents.getUint32(entry + D_OFF, true), true);
  view.setUint32(offset + 12, dents.getUint32(entry + D_OFF + 4, true), true);
  view.setUint32(offset + 16, nameLength, true);
  view.setUint32(offset + 20, type, true);
  for (let index = 0; index < nameLength; index++) {
    reply.bytes[offset + DIRENT_HEADER_BYTES + index] = dentsBytes[entry + D_NAME + index] ?? 0;
  }
}

function isDots(entry: number, nameLength: number): boolean {
  if (dentsBytes[entry + D_NAME] !== DOT) return false;
  return nameLength === 1 || (nameLength === 2 && dentsBytes[entry + D_NAME + 1] === DOT);
}
