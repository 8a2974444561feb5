import { Errno } from "../../lib/sys/errno.js";
import { close, ioctl as hostIoctl, O_RDONLY, S_IFDIR, S_IFREG } from "../../lib/sys/file.js";
import { addressOf, lastErrno } from "../../lib/sys/libc.js";
import { IN_HEADER_BYTES, IOCTL_OUT_BYTES, OUT_HEADER_BYTES } from "../fuse/constants.js";
import type { FuseReply } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import { HandleKind } from "./handle-table.js";
import type { Operation } from "./operation.js";

// struct fuse_ioctl_in, from the start of the request.
const FH = IN_HEADER_BYTES;
const CMD = IN_HEADER_BYTES + 12;
const IN_SIZE = IN_HEADER_BYTES + 24;
const OUT_SIZE = IN_HEADER_BYTES + 28;
const DATA = IN_HEADER_BYTES + 32;

// linux/fs.h. Programs of 32 bits send numbers of their own for those whose argument is said to be a long.
const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_IOC_GETVERSION = 0x8008_7601;
const FS_IOC32_GETFLAGS = 0x8004_6601;
const FS_IOC32_SETFLAGS = 0x4004_6602;
const FS_IOC32_GETVERSION = 0x8004_7601;
const FS_IOC_FSGETXATTR = 0x801c_581f;
const FS_IOC_FSSETXATTR = 0x401c_5820;

const FS_PROJINHERIT_FL = 0x2000_0000;
const FS_XFLAG_PROJINHERIT = 0x200;
/** struct fsxattr. */
const FSXATTR_BYTES = 28;
const FSX_PROJID = 12;
/** The argument of the others is an int, whatever their number says of its size. */
const INT_BYTES = 4;

const argument = new DataView(new ArrayBuffer(FSXATTR_BYTES));
const argumentAddress = addressOf(argument);
const argumentBytes = new Uint8Array(argument.buffer);

/**
 * FUSE_IOCTL, for what is known to be about files; anything else is no ioctl of this file system (ENOTTY). The guest's kernel has checked
 * that the caller owns the file. The attributes "immutable" and "append only" need CAP_LINUX_IMMUTABLE of the host, which the daemon
 * does not have by default: what a container leaves behind must be removable.
 */
export const ioctl: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(DATA)) return -Errno.EINVAL;
  const command = request.uint32(CMD);
  switch (command) {
    case FS_IOC_GETFLAGS:
    case FS_IOC32_GETFLAGS:
      return ask(fs, request, reply, slot, FS_IOC_GETFLAGS, INT_BYTES);
    case FS_IOC_GETVERSION:
    case FS_IOC32_GETVERSION:
      return ask(fs, request, reply, slot, FS_IOC_GETVERSION, INT_BYTES);
    case FS_IOC_FSGETXATTR:
      return ask(fs, request, reply, slot, FS_IOC_FSGETXATTR, FSXATTR_BYTES);
    case FS_IOC_SETFLAGS:
    case FS_IOC32_SETFLAGS:
      return change(fs, request, reply, slot, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, INT_BYTES);
    case FS_IOC_FSSETXATTR:
      return change(fs, request, reply, slot, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR, FSXATTR_BYTES);
    default:
      return -Errno.ENOTTY;
  }
};

function ask(
  fs: FileSystem,
  request: FuseRequest,
  reply: FuseReply,
  slot: number,
  command: number,
  bytes: number,
): number {
  // The guest's kernel itself asks for exactly what there is; a program may ask for more and gets what there is.
  if (request.uint32(OUT_SIZE) < bytes) return -Errno.EINVAL;
  const fd = descriptor(fs, request, slot);
  if (fd < 0) return fd;
  const result = hostIoctl(fd, command, argumentAddress) < 0 ? -lastErrno() : 0;
  giveBack(fs, request, fd);
  if (result < 0) return result;
  writeOut(reply);
  reply.bytes.set(argumentBytes.subarray(0, bytes), OUT_HEADER_BYTES + IOCTL_OUT_BYTES);
  return IOCTL_OUT_BYTES + bytes;
}

/** Changes what `getCommand` tells. The project stays as it is: the host's disk quotas go by it. */
function change(
  fs: FileSystem,
  request: FuseRequest,
  reply: FuseReply,
  slot: number,
  getCommand: number,
  setCommand: number,
  bytes: number,
): number {
  if (fs.policies.isReadOnly(slot)) return -Errno.EROFS;
  if (request.uint32(IN_SIZE) < bytes || !request.has(DATA + bytes)) return -Errno.EINVAL;
  const fd = descriptor(fs, request, slot);
  if (fd < 0) return fd;
  let result = hostIoctl(fd, getCommand, argumentAddress) < 0 ? -lastErrno() : 0;
  if (result === 0 && changesProject(request, bytes)) result = -Errno.EPERM;
  if (result === 0) {
    argumentBytes.set(request.bytes.subarray(DATA, DATA + bytes));
    result = hostIoctl(fd, setCommand, argumentAddress) < 0 ? -lastErrno() : 0;
  }
  giveBack(fs, request, fd);
  if (result < 0) return result;
  writeOut(reply);
  return IOCTL_OUT_BYTES;
}

/** Whether the request's argument differs from the present one in what belongs to disk quotas. */
function changesProject(request: FuseRequest, bytes: number): boolean {
  const changed = request.uint32(DATA) ^ argument.getUint32(0, true);
  if (bytes === INT_BYTES) return (changed & FS_PROJINHERIT_FL) !== 0;
  const isOther = request.uint32(DATA + FSX_PROJID) !== argument.getUint32(FSX_PROJID, true);
  return isOther || (changed & FS_XFLAG_PROJINHERIT) !== 0;
}

/** The open file or directory that the request names; where the guest does without handles, one to be given back. Or -errno. */
function descriptor(fs: FileSystem, request: FuseRequest, slot: number): number {
  const handle = handleOf(fs, request);
  if (handle !== 0) return fs.handles.fd(handle);
  const type = fs.inodes.type(slot);
  if (type !== S_IFREG && type !== S_IFDIR) return -Errno.ENOTTY;
  return request.uint64(FH) === 0 ? fs.open(slot, O_RDONLY) : -Errno.EBADF;
}

function giveBack(fs: FileSystem, request: FuseRequest, fd: number): void {
  if (handleOf(fs, request) === 0) close(fd);
}

function handleOf(fs: FileSystem, request: FuseRequest): number {
  const low = request.uint32(FH);
  const high = request.uint32(FH + 4);
  return fs.handles.slotOf(low, high, HandleKind.file) || fs.handles.slotOf(low, high, HandleKind.directory);
}

/** struct fuse_ioctl_out of an ioctl that went well: its result, and no wish to be asked again with other buffers. */
function writeOut(reply: FuseReply): void {
  reply.bytes.fill(0, OUT_HEADER_BYTES, OUT_HEADER_BYTES + IOCTL_OUT_BYTES);
}
