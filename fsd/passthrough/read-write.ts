import { Errno } from "../../lib/sys/errno.js";
import {
  F_GETFL,
  F_SETFL,
  fcntl,
  lseek as hostLseek,
  O_APPEND,
  O_DIRECT,
  preadv,
  pwritev,
  pwritev2,
  RWF_APPEND,
  S_IFREG,
} from "../../lib/sys/file.js";
import { IOV_MAX, Iovecs } from "../../lib/sys/iovec.js";
import { lastErrno } from "../../lib/sys/libc.js";
import { pwritev2Later, pwritevLater } from "../../lib/sys/long-file-calls.js";
import {
  FUSE_WRITE_CACHE,
  FUSE_WRITE_KILL_SUIDGID,
  IN_HEADER_BYTES,
  OUT_HEADER_BYTES,
} from "../fuse/constants.js";
import type { FuseReply } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import { fileAt, isSynchronous, isWithoutHandle, writableAt } from "./opened-file.js";
import { type Operation, UNDER_WAY } from "./operation.js";
import { losesSetIdBits } from "./space.js";
import { dropRenamedCapability } from "./xattr.js";

const ARGUMENTS = IN_HEADER_BYTES;
const READ_IN_BYTES = 40;
const WRITE_IN_BYTES = 40;
// In struct fuse_write_in.
const WRITE_FLAGS = ARGUMENTS + 20;
const OPEN_FLAGS = ARGUMENTS + 32;
const WRITE_PAYLOAD = ARGUMENTS + WRITE_IN_BYTES;
const WRITE_OUT_BYTES = 8;
const LSEEK_OUT_BYTES = 8;
/**
 * The most that one READ or WRITE moves: 256 pages, which FUSE_INIT allows, where pages have 64 KiB. Descriptors that name the same
 * memory again and again could ask for 128 TiB.
 */
const MOVE_MAX_BYTES = 16 << 20;

/**
 * The descriptor for reading: of the handle at `offset` of the request or, where the guest does without handles, of the inode.
 * @returns -errno if there is none
 */
function readableAt(fs: FileSystem, request: FuseRequest, offset: number): number {
  const fd = fileAt(fs, request, offset);
  if (fd >= 0) return fd;
  if (!isWithoutHandle(fs, request, offset)) return -Errno.EBADF;
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  return fs.inodes.type(slot) === S_IFREG ? fs.readDescriptors.of(slot) : -Errno.EINVAL;
}

/** Clears O_DIRECT of a descriptor that has it. @returns the flags that it had, or 0 if it has no O_DIRECT. */
function clearDirect(fd: number): number {
  const flags = fcntl(fd, F_GETFL, 0);
  if (flags < 0 || (flags & O_DIRECT) === 0) return 0;
  fcntl(fd, F_SETFL, flags & ~O_DIRECT);
  return flags;
}

/**
 * preadv(2) or pwritev(2). What the host cannot do directly, since the guest's buffer is not aligned for it, goes through the page cache:
 * pages that the guest wrote by mapping come through any handle.
 * @returns the bytes moved, or -errno
 */
function moved(
  call: typeof preadv,
  fs: FileSystem,
  fd: number,
  iovecs: Iovecs,
  count: number,
  offset: number | bigint,
): number {
  const result = call(fd, iovecs.address, count, offset);
  if (result >= 0) return result;
  const errno = lastErrno();
  const flags = errno === Errno.EINVAL && (fs.openFlagsPassed & O_DIRECT) !== 0 ? clearDirect(fd) : 0;
  if (flags === 0) return -errno;
  const again = call(fd, iovecs.address, count, offset);
  const outcome = again < 0 ? -lastErrno() : again;
  fcntl(fd, F_SETFL, flags);
  return outcome;
}

/** FUSE_READ: from the file right into the guest's pages. */
export const read: Operation = (fs, request, reply) => {
  if (!request.has(ARGUMENTS + READ_IN_BYTES)) return -Errno.EINVAL;
  const fd = readableAt(fs, request, ARGUMENTS);
  if (fd < 0) return fd;
  const room = request.writable.byteLength - OUT_HEADER_BYTES;
  const size = Math.min(request.uint32(ARGUMENTS + 16), room);
  if (size > MOVE_MAX_BYTES) return -Errno.EINVAL;
  reply.bodyIsInPlace = true;
  let done = 0;
  // More than one turn only for lists of more than IOV_MAX segments, or where the file system reads short.
  while (done < size) {
    const count = request.writable.toIovecs(OUT_HEADER_BYTES + done, size - done, fs.iovecs);
    const result = moved(preadv, fs, fd, fs.iovecs, count, request.offset(ARGUMENTS + 8, done));
    if (result < 0) {
      // What was read before counts; the error comes again if the guest goes on from there.
      if (done > 0) break;
      return result;
    }
    if (result === 0) break;
    done += result;
  }
  fs.metrics.readBytes += done;
  return done;
};

/** FUSE_WRITE: from the guest's pages right into the file. */
export const write: Operation = (fs, request, reply) => {
  if (!request.has(WRITE_PAYLOAD)) return -Errno.EINVAL;
  const fd = writableAt(fs, request, ARGUMENTS);
  if (fd < 0) return fd;
  const size = request.uint32(ARGUMENTS + 16);
  if (size > MOVE_MAX_BYTES || !request.has(WRITE_PAYLOAD + size)) return -Errno.EINVAL;
  const dropped = dropRenamedCapability(fs, fd);
  if (dropped < 0) return dropped;
  const keepsBits = (request.uint32(WRITE_FLAGS) & FUSE_WRITE_KILL_SUIDGID) === 0;
  if (isSynchronous(fs, request, ARGUMENTS) && beginWrite(fs, request, fd, size, keepsBits)) return UNDER_WAY;
  const call = isAppending(fs, request) ? append : pwritev;
  fs.credentials.keepSetIdBits(keepsBits);
  let done = 0;
  while (done < size) {
    const count = request.readable.toIovecs(WRITE_PAYLOAD + done, size - done, fs.iovecs);
    const result = moved(call, fs, fd, fs.iovecs, count, request.offset(ARGUMENTS + 8, done));
    if (result < 0) {
      if (done > 0) break;
      return result;
    }
    if (result === 0) break;
    done += result;
  }
  fs.metrics.writtenBytes += done;
  return writeCount(reply, done);
};

/**
 * Whether the bytes belong at the end of the file, wherever others have brought it meanwhile. What a guest writes back of its cache belongs at
 * its offset, through whichever handle it comes; one that gathers writes has set the end itself.
 */
function isAppending(fs: FileSystem, request: FuseRequest): boolean {
  const isWrittenBack = (request.uint32(WRITE_FLAGS) & FUSE_WRITE_CACHE) !== 0;
  return (request.uint32(OPEN_FLAGS) & O_APPEND) !== 0 && !isWrittenBack && !fs.session.gathersWrites;
}

const append: typeof pwritev = (fd, iovecs, count, offset) => pwritev2(fd, iovecs, count, offset, RWF_APPEND);

/**
 * Begins a write that waits for the disk, as O_SYNC and O_DSYNC have it, on another thread, from where the guest's pages are now.
 * @returns false where it must be made at once
 */
function beginWrite(
  fs: FileSystem,
  request: FuseRequest,
  fd: number,
  size: number,
  keepsBits: boolean,
): boolean {
  const iovecs = new Iovecs(Math.min(Math.max(request.readable.count, 1), IOV_MAX));
  const count = request.readable.toIovecs(WRITE_PAYLOAD, size, iovecs);
  if (keepsBits && losesSetIdBits(fs, fd)) return false;
  const offset = request.offset(ARGUMENTS + 8, 0);
  const appends = isAppending(fs, request);
  return fs.longCalls.begin([fd], {
    usesGuestMemory: true,
    start: ([own = -1], done) =>
      appends
        ? pwritev2Later(own, iovecs.address, count, offset, RWF_APPEND, done)
        : pwritevLater(own, iovecs.address, count, offset, done),
    finish: (result, [own = -1], reply) => {
      let written = result;
      // Blocks that are left for root are not for other threads; and what O_DIRECT cannot do goes through the page cache.
      if (result === -Errno.ENOSPC || result === -Errno.EINVAL) {
        fs.credentials.keepSetIdBits(keepsBits);
        written = moved(appends ? append : pwritev, fs, own, iovecs, count, offset);
      }
      if (written < 0) return written;
      fs.metrics.writtenBytes += written;
      return writeCount(reply, written);
    },
  });
}

/** Writes struct fuse_write_out. @returns its length */
function writeCount(reply: FuseReply, count: number): number {
  reply.view.setUint32(OUT_HEADER_BYTES, count, true);
  reply.view.setUint32(OUT_HEADER_BYTES + 4, 0, true);
  return WRITE_OUT_BYTES;
}

export const lseek: Operation = (fs, request, reply) => {
  if (!request.has(ARGUMENTS + 24)) return -Errno.EINVAL;
  const fd = readableAt(fs, request, ARGUMENTS);
  if (fd < 0) return fd;
  const result = hostLseek(fd, request.offset(ARGUMENTS + 8, 0), request.uint32(ARGUMENTS + 16));
  if (result < 0) return -lastErrno();
  if (typeof result === "bigint") {
    reply.view.setBigInt64(OUT_HEADER_BYTES, result, true);
    return LSEEK_OUT_BYTES;
  }
  reply.view.setUint32(OUT_HEADER_BYTES, result >>> 0, true);
  reply.view.setUint32(OUT_HEADER_BYTES + 4, result / 0x1_0000_0000, true);
  return LSEEK_OUT_BYTES;
};
