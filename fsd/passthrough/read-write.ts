import { Errno } from "../../lib/sys/errno.js";
import {
  copyFileRange,
  F_GETFL,
  F_SETFL,
  fcntl,
  fdatasync,
  fallocate as hostFallocate,
  fsync as hostFsync,
  lseek as hostLseek,
  O_DIRECT,
  preadv,
  pwritev,
  S_IFREG,
} from "../../lib/sys/file.js";
import { addressOf, lastErrno } from "../../lib/sys/libc.js";
import {
  FUSE_FSYNC_FDATASYNC,
  FUSE_NO_OPEN_SUPPORT,
  FUSE_WRITE_KILL_SUIDGID,
  IN_HEADER_BYTES,
  OUT_HEADER_BYTES,
} from "../fuse/constants.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import { HandleKind } from "./handle-table.js";
import type { Operation } from "./operation.js";
import { dropRenamedCapability } from "./xattr.js";

const ARGUMENTS = IN_HEADER_BYTES;
const READ_IN_BYTES = 40;
const WRITE_IN_BYTES = 40;
const WRITE_PAYLOAD = ARGUMENTS + WRITE_IN_BYTES;
const WRITE_OUT_BYTES = 8;
const LSEEK_OUT_BYTES = 8;
/** What one COPY_FILE_RANGE copies at most, so that other requests do not wait long; the guest asks for the rest. */
const COPY_MAX_BYTES = 8 << 20;

/** The descriptor of the open file whose handle is at `offset` of the request, or -1. */
function fileAt(fs: FileSystem, request: FuseRequest, offset: number): number {
  const slot = fs.handles.slotOf(request.uint32(offset), request.uint32(offset + 4), HandleKind.file);
  return slot === 0 ? -1 : fs.handles.fd(slot);
}

/**
 * The descriptor for reading: of the handle at `offset` of the request or, where the guest does without handles, of the inode.
 * @returns -errno if there is none
 */
function readableAt(fs: FileSystem, request: FuseRequest, offset: number): number {
  const fd = fileAt(fs, request, offset);
  if (fd >= 0) return fd;
  if (request.uint64(offset) !== 0 || !fs.session.doesWithout(FUSE_NO_OPEN_SUPPORT)) return -Errno.EBADF;
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
 * preadv(2) or pwritev(2) of {@link FileSystem.iovecs}, `done` bytes behind the offset at `offsetAt` of the request. What the host cannot do
 * directly, since the guest's buffer is not aligned for it, goes through the page cache: pages that the guest wrote by mapping come
 * through any handle.
 * @returns the bytes moved, or -errno
 */
function move(
  call: typeof preadv,
  fs: FileSystem,
  fd: number,
  request: FuseRequest,
  offsetAt: number,
  count: number,
  done: number,
): number {
  const offset = request.offset(offsetAt, done);
  const result = call(fd, fs.iovecs.address, count, offset);
  if (result >= 0) return result;
  const errno = lastErrno();
  const flags = errno === Errno.EINVAL && (fs.openFlagsPassed & O_DIRECT) !== 0 ? clearDirect(fd) : 0;
  if (flags === 0) return -errno;
  const again = call(fd, fs.iovecs.address, count, offset);
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
  reply.bodyIsInPlace = true;
  let done = 0;
  // More than one turn only for lists of more than IOV_MAX segments, or where the file system reads short.
  while (done < size) {
    const count = request.writable.toIovecs(OUT_HEADER_BYTES + done, size - done, fs.iovecs);
    const result = move(preadv, fs, fd, request, ARGUMENTS + 8, count, done);
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
  const fd = fileAt(fs, request, ARGUMENTS);
  if (fd < 0) return -Errno.EBADF;
  const size = request.uint32(ARGUMENTS + 16);
  if (!request.has(WRITE_PAYLOAD + size)) return -Errno.EINVAL;
  const dropped = dropRenamedCapability(fs, fd);
  if (dropped < 0) return dropped;
  fs.credentials.keepSetIdBits((request.uint32(ARGUMENTS + 20) & FUSE_WRITE_KILL_SUIDGID) === 0);
  let done = 0;
  while (done < size) {
    const count = request.readable.toIovecs(WRITE_PAYLOAD + done, size - done, fs.iovecs);
    const result = move(pwritev, fs, fd, request, ARGUMENTS + 8, count, done);
    if (result < 0) {
      if (done > 0) break;
      return result;
    }
    if (result === 0) break;
    done += result;
  }
  fs.metrics.writtenBytes += done;
  reply.view.setUint32(OUT_HEADER_BYTES, done, true);
  reply.view.setUint32(OUT_HEADER_BYTES + 4, 0, true);
  return WRITE_OUT_BYTES;
};

function sync(fd: number, flags: number): number {
  const result = (flags & FUSE_FSYNC_FDATASYNC) !== 0 ? fdatasync(fd) : hostFsync(fd);
  return result < 0 ? -lastErrno() : 0;
}

export const fsync: Operation = (fs, request) => {
  if (!request.has(ARGUMENTS + 16)) return -Errno.EINVAL;
  const fd = fileAt(fs, request, ARGUMENTS);
  return fd < 0 ? -Errno.EBADF : sync(fd, request.uint32(ARGUMENTS + 8));
};

export const fsyncdir: Operation = (fs, request) => {
  if (!request.has(ARGUMENTS + 16)) return -Errno.EINVAL;
  const low = request.uint32(ARGUMENTS);
  const handle = fs.handles.slotOf(low, request.uint32(ARGUMENTS + 4), HandleKind.directory);
  return handle === 0 ? -Errno.EBADF : sync(fs.handles.fd(handle), request.uint32(ARGUMENTS + 8));
};

export const fallocate: Operation = (fs, request) => {
  if (!request.has(ARGUMENTS + 32)) return -Errno.EINVAL;
  const fd = fileAt(fs, request, ARGUMENTS);
  if (fd < 0) return -Errno.EBADF;
  const offset = request.offset(ARGUMENTS + 8, 0);
  const length = request.offset(ARGUMENTS + 16, 0);
  fs.credentials.keepSetIdBits(fs.session.keepsSetIdBits);
  return hostFallocate(fd, request.uint32(ARGUMENTS + 24), offset, length) < 0 ? -lastErrno() : 0;
};

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

/** Two int64_t: the offsets in the file read and in the file written. */
const copyOffsets = new BigInt64Array(2);
const copyOffsetsAddress = addressOf(copyOffsets);

/** FUSE_COPY_FILE_RANGE, and FUSE_COPY_FILE_RANGE_64: struct fuse_copy_file_range_out is as large as struct fuse_write_out. */
export const copyFileRangeOperation: Operation = (fs, request, reply) => {
  if (!request.has(ARGUMENTS + 56)) return -Errno.EINVAL;
  const from = fileAt(fs, request, ARGUMENTS);
  const to = fileAt(fs, request, ARGUMENTS + 24);
  if (from < 0 || to < 0) return -Errno.EBADF;
  if (request.uint64(ARGUMENTS + 48) !== 0) return -Errno.EINVAL;
  const length = Math.min(request.uint64(ARGUMENTS + 40), COPY_MAX_BYTES);
  copyOffsets[0] = request.view.getBigInt64(ARGUMENTS + 8, true);
  copyOffsets[1] = request.view.getBigInt64(ARGUMENTS + 32, true);
  fs.credentials.keepSetIdBits(fs.session.keepsSetIdBits);
  const result = copyFileRange(from, copyOffsetsAddress, to, copyOffsetsAddress + 8, length, 0);
  if (result < 0) return -lastErrno();
  reply.view.setUint32(OUT_HEADER_BYTES, result, true);
  reply.view.setUint32(OUT_HEADER_BYTES + 4, 0, true);
  return WRITE_OUT_BYTES;
};
