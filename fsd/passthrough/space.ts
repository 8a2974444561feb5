import { Errno } from "../../lib/sys/errno.js";
import { copyFileRange as hostCopyFileRange, fallocate as hostFallocate } from "../../lib/sys/file.js";
import { addressOf, lastErrno } from "../../lib/sys/libc.js";
import { copyFileRangeLater, fallocateLater } from "../../lib/sys/long-file-calls.js";
import { IN_HEADER_BYTES, OUT_HEADER_BYTES } from "../fuse/constants.js";
import type { FuseReply } from "../fuse/reply.js";
import type { FileSystem } from "./file-system.js";
import { fileAt, writableAt } from "./opened-file.js";
import { type Operation, UNDER_WAY } from "./operation.js";

const ARGUMENTS = IN_HEADER_BYTES;
const WRITE_OUT_BYTES = 8;
/** What one COPY_FILE_RANGE copies at most; the guest, which cannot interrupt it, asks for the rest. */
const COPY_MAX_BYTES = 8 << 20;
/** From this much on the call is made on another thread: that costs some tens of microseconds, in which a host copies a few hundred KiB. */
const LONG_BYTES = 1 << 20;
const SET_ID_BITS = 0o6000;

// Modes of fallocate(2) that move all that is behind the range.
const FALLOC_FL_COLLAPSE_RANGE = 0x8;
const FALLOC_FL_INSERT_RANGE = 0x20;
const MOVES_THE_REST = FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;

/**
 * Whether a change of the file's content on another thread, which has no CAP_FSETID, takes set-id bits away. Fills
 * {@link FileSystem.statx}.
 */
export function losesSetIdBits(fs: FileSystem, fd: number): boolean {
  return fs.statx.readFd(fd) < 0 || (fs.statx.mode & SET_ID_BITS) !== 0;
}

/** Whether the change of `length` bytes of `fd` is for another thread. */
function isLong(fs: FileSystem, fd: number, length: number): boolean {
  return length >= LONG_BYTES && !(fs.session.keepsSetIdBits && losesSetIdBits(fs, fd));
}

export const fallocate: Operation = (fs, request) => {
  if (!request.has(ARGUMENTS + 32)) return -Errno.EINVAL;
  const fd = writableAt(fs, request, ARGUMENTS);
  if (fd < 0) return fd;
  const offset = request.offset(ARGUMENTS + 8, 0);
  const length = request.offset(ARGUMENTS + 16, 0);
  const mode = request.uint32(ARGUMENTS + 24);
  const call = (own: number) => {
    fs.credentials.keepSetIdBits(fs.session.keepsSetIdBits);
    return hostFallocate(own, mode, offset, length) < 0 ? -lastErrno() : 0;
  };
  const bytes = (mode & MOVES_THE_REST) !== 0 ? Number.POSITIVE_INFINITY : Number(length);
  const isBegun =
    isLong(fs, fd, bytes) &&
    fs.longCalls.begin([fd], {
      usesGuestMemory: false,
      start: ([own = -1], done) => fallocateLater(own, mode, offset, length, done),
      // Blocks that are left for root are not for other threads.
      finish: (result, [own = -1]) => (result === -Errno.ENOSPC ? call(own) : result),
    });
  return isBegun ? UNDER_WAY : call(fd);
};

/** FUSE_COPY_FILE_RANGE, and FUSE_COPY_FILE_RANGE_64: struct fuse_copy_file_range_out is as large as struct fuse_write_out. */
export const copyFileRange: Operation = (fs, request, reply) => {
  if (!request.has(ARGUMENTS + 56)) return -Errno.EINVAL;
  const from = fileAt(fs, request, ARGUMENTS);
  const to = writableAt(fs, request, ARGUMENTS + 24);
  if (to < 0) return to;
  if (from < 0) return -Errno.EBADF;
  if (request.uint64(ARGUMENTS + 48) !== 0) return -Errno.EINVAL;
  const length = Math.min(request.uint64(ARGUMENTS + 40), COPY_MAX_BYTES);
  const fromOffset = request.view.getBigInt64(ARGUMENTS + 8, true);
  const toOffset = request.view.getBigInt64(ARGUMENTS + 32, true);
  // Two int64_t that the call moves on.
  const offsets = new BigInt64Array([fromOffset, toOffset]);
  const address = addressOf(offsets);
  const call = (ownFrom: number, ownTo: number) => {
    offsets.set([fromOffset, toOffset]);
    fs.credentials.keepSetIdBits(fs.session.keepsSetIdBits);
    const result = hostCopyFileRange(ownFrom, address, ownTo, address + 8, length, 0);
    return result < 0 ? -lastErrno() : result;
  };
  const isBegun =
    isLong(fs, to, length) &&
    fs.longCalls.begin([from, to], {
      usesGuestMemory: false,
      start: ([ownFrom = -1, ownTo = -1], done) =>
        copyFileRangeLater(ownFrom, address, ownTo, address + 8, length, 0, done),
      finish: (result, [ownFrom = -1, ownTo = -1], later) =>
        writeCount(later, result === -Errno.ENOSPC ? call(ownFrom, ownTo) : result),
    });
  return isBegun ? UNDER_WAY : writeCount(reply, call(from, to));
};

/** Writes how much was copied. @returns the length of the reply's body, or `count` if that is -errno */
function writeCount(reply: FuseReply, count: number): number {
  if (count < 0) return count;
  reply.view.setUint32(OUT_HEADER_BYTES, count, true);
  reply.view.setUint32(OUT_HEADER_BYTES + 4, 0, true);
  return WRITE_OUT_BYTES;
}
