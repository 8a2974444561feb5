import { Errno } from "../../lib/sys/errno.js";
import {
  copyFileRange,
  fdatasync,
  fallocate as hostFallocate,
  fsync as hostFsync,
  lseek as hostLseek,
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

const ARGUMENTS = IN_HEADER_BYTES;
const READ_IN_BYTES = 40;
const WRITE_IN_BYTES = 40;
const WRITE_PAYLOAD = ARGUMENTS + WRITE_IN_BYTES;
const WRITE_OUT_BYTES = 8;
const LSEEK_OUT_BYTES = 8;
/** What one COPY_FILE_RANGE copies at most, so that other requests do not wait long; the guest asks for the rest. */
const COPY_MAX_BYTES = 8 << 20;
/** File offsets above this cannot be told exactly as a number, and no file is that large. */
const OFFSET_MAX = Number.MAX_SAFE_INTEGER - 0xffff_ffff;

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
  if (request.uint64(offset) !== 0 || !fs.doesWithout(FUSE_NO_OPEN_SUPPORT)) return -Errno.EBADF;
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  return fs.inodes.type(slot) === S_IFREG ? fs.readDescriptors.of(slot) : -Errno.EINVAL;
}

/** FUSE_READ: from the file right into the guest's pages. */
export const read: Operation = (fs, request, reply) => {
  if (!request.has(ARGUMENTS + READ_IN_BYTES)) return -Errno.EINVAL;
  const fd = readableAt(fs, request, ARGUMENTS);
  if (fd < 0) return fd;
  const offset = request.uint64(ARGUMENTS + 8);
  if (offset > OFFSET_MAX) return -Errno.EINVAL;
  const room = request.writable.byteLength - OUT_HEADER_BYTES;
  const size = Math.min(request.uint32(ARGUMENTS + 16), room);
  reply.bodyIsInPlace = true;
  let done = 0;
  // More than one turn only for lists of more than IOV_MAX segments, or where the file system reads short.
  while (done < size) {
    const count = request.writable.toIovecs(OUT_HEADER_BYTES + done, size - done, fs.iovecs);
    const result = preadv(fd, fs.iovecs.address, count, offset + done);
    if (result < 0) {
      if (done > 0) break;
      return -lastErrno();
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
  const offset = request.uint64(ARGUMENTS + 8);
  const size = request.uint32(ARGUMENTS + 16);
  if (offset > OFFSET_MAX) return -Errno.EFBIG;
  if (!request.has(WRITE_PAYLOAD + size)) return -Errno.EINVAL;
  fs.credentials.keepSetIdBits((request.uint32(ARGUMENTS + 20) & FUSE_WRITE_KILL_SUIDGID) === 0);
  let done = 0;
  while (done < size) {
    const count = request.readable.toIovecs(WRITE_PAYLOAD + done, size - done, fs.iovecs);
    const result = pwritev(fd, fs.iovecs.address, count, offset + done);
    if (result < 0) {
      if (done > 0) break;
      return -lastErrno();
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
  const offset = request.uint64(ARGUMENTS + 8);
  const length = request.uint64(ARGUMENTS + 16);
  if (offset > OFFSET_MAX || length > OFFSET_MAX) return -Errno.EFBIG;
  fs.credentials.keepSetIdBits(request.uid === 0);
  return hostFallocate(fd, request.uint32(ARGUMENTS + 24), offset, length) < 0 ? -lastErrno() : 0;
};

export const lseek: Operation = (fs, request, reply) => {
  if (!request.has(ARGUMENTS + 24)) return -Errno.EINVAL;
  const fd = readableAt(fs, request, ARGUMENTS);
  if (fd < 0) return fd;
  const offset = request.uint64(ARGUMENTS + 8);
  if (offset > OFFSET_MAX) return -Errno.ENXIO;
  const result = hostLseek(fd, offset, request.uint32(ARGUMENTS + 16));
  if (result < 0) return -lastErrno();
  if (!Number.isSafeInteger(result)) return -Errno.EOVERFLOW;
  reply.view.setUint32(OUT_HEADER_BYTES, result >>> 0, true);
  reply.view.setUint32(OUT_HEADER_BYTES + 4, result / 0x1_0000_0000, true);
  return LSEEK_OUT_BYTES;
};

/** Two int64_t: the offsets in the file read and in the file written. */
const copyOffsets = new BigInt64Array(2);
const copyOffsetsAddress = addressOf(copyOffsets);

export const copyFileRangeOperation: Operation = (fs, request, reply) => {
  if (!request.has(ARGUMENTS + 56)) return -Errno.EINVAL;
  const from = fileAt(fs, request, ARGUMENTS);
  const to = fileAt(fs, request, ARGUMENTS + 24);
  if (from < 0 || to < 0) return -Errno.EBADF;
  if (request.uint64(ARGUMENTS + 48) !== 0) return -Errno.EINVAL;
  const length = Math.min(request.uint64(ARGUMENTS + 40), COPY_MAX_BYTES);
  copyOffsets[0] = request.view.getBigInt64(ARGUMENTS + 8, true);
  copyOffsets[1] = request.view.getBigInt64(ARGUMENTS + 32, true);
  fs.credentials.keepSetIdBits(request.uid === 0);
  const result = copyFileRange(from, copyOffsetsAddress, to, copyOffsetsAddress + 8, length, 0);
  if (result < 0) return -lastErrno();
  reply.view.setUint32(OUT_HEADER_BYTES, result, true);
  reply.view.setUint32(OUT_HEADER_BYTES + 4, 0, true);
  return WRITE_OUT_BYTES;
};
