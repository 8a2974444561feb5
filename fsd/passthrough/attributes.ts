import { Errno } from "../../lib/sys/errno.js";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  close,
  fchmodat,
  fchownat,
  ftruncate,
  O_WRONLY,
  S_IFLNK,
  S_IFREG,
  UTIME_NOW,
  UTIME_OMIT,
  utimensat,
} from "../../lib/sys/file.js";
import { addressOf, lastErrno, permanentAddressOf } from "../../lib/sys/libc.js";
import {
  ATTR_OUT_BYTES,
  FATTR_ATIME,
  FATTR_ATIME_NOW,
  FATTR_FH,
  FATTR_GID,
  FATTR_KILL_SUIDGID,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_MTIME_NOW,
  FATTR_SIZE,
  FATTR_UID,
  IN_HEADER_BYTES,
  OUT_HEADER_BYTES,
} from "../fuse/constants.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import { HandleKind } from "./handle-table.js";
import { FORBIDDEN_ID } from "./id-map.js";
import { restorePrivileges, savePrivileges } from "./kept-privileges.js";
import type { Operation } from "./operation.js";

// struct fuse_setattr_in, from the start of the request.
const VALID = IN_HEADER_BYTES;
const FH = IN_HEADER_BYTES + 8;
const SIZE = IN_HEADER_BYTES + 16;
const ATIME = IN_HEADER_BYTES + 32;
const MTIME = IN_HEADER_BYTES + 40;
const ATIMENSEC = IN_HEADER_BYTES + 56;
const MTIMENSEC = IN_HEADER_BYTES + 60;
const MODE = IN_HEADER_BYTES + 68;
const UID = IN_HEADER_BYTES + 76;
const GID = IN_HEADER_BYTES + 80;
const SETATTR_IN_BYTES = 88;

const PERMISSIONS = 0o7777;
const UNCHANGED = 0xffff_ffff;

const emptyPathAddress = permanentAddressOf(new Uint8Array(1));
/** Two struct timespec: access and modification. */
const times = new DataView(new ArrayBuffer(32));
const timesAddress = addressOf(times);

/** FUSE_SETATTR. Changes are made in the order mode, owner, size, times; the first that fails is the answer. */
export const setattr: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(IN_HEADER_BYTES + SETATTR_IN_BYTES)) return -Errno.EINVAL;
  if (fs.policies.isReadOnly(slot)) return -Errno.EROFS;
  const valid = request.uint32(VALID);
  const fd = fs.pathFd(slot);
  if (fd < 0) return fd;
  let result = savePrivileges(fs, slot, valid);
  const mode = request.uint32(MODE) & PERMISSIONS;
  if (result === 0 && (valid & FATTR_MODE) !== 0) result = changeMode(fs, slot, mode);
  if (result === 0 && (valid & (FATTR_UID | FATTR_GID)) !== 0) {
    const uid = (valid & FATTR_UID) !== 0 ? fs.uids.toHost(request.uint32(UID)) : UNCHANGED;
    const gid = (valid & FATTR_GID) !== 0 ? fs.gids.toHost(request.uint32(GID)) : UNCHANGED;
    if (uid === FORBIDDEN_ID || gid === FORBIDDEN_ID) result = -Errno.EPERM;
    else if (fchownat(fd, emptyPathAddress, uid, gid, AT_EMPTY_PATH) < 0) result = -lastErrno();
  }
  if (result === 0 && (valid & FATTR_SIZE) !== 0) result = changeSize(fs, request, slot, valid);
  if (result === 0) result = restorePrivileges(fs, slot, valid, mode);
  if (result === 0 && (valid & (FATTR_ATIME | FATTR_MTIME)) !== 0) {
    writeTime(0, request, (valid & FATTR_ATIME) !== 0, (valid & FATTR_ATIME_NOW) !== 0, ATIME, ATIMENSEC);
    writeTime(16, request, (valid & FATTR_MTIME) !== 0, (valid & FATTR_MTIME_NOW) !== 0, MTIME, MTIMENSEC);
    if (utimensat(fd, emptyPathAddress, timesAddress, AT_EMPTY_PATH) < 0) result = -lastErrno();
  }
  if (result === 0) result = fs.stat(slot);
  if (result < 0) return result;
  fs.attributes.writeAttrOut(reply, OUT_HEADER_BYTES, slot);
  return ATTR_OUT_BYTES;
};

function changeMode(fs: FileSystem, slot: number, mode: number): number {
  if (fs.inodes.type(slot) === S_IFLNK) return -Errno.EOPNOTSUPP;
  const path = fs.path(slot);
  if (path < 0) return path;
  fs.credentials.keepSetIdBits(true);
  return fchmodat(AT_FDCWD, path, mode, 0) < 0 ? -lastErrno() : 0;
}

/** Truncates through the open file that the guest names, or through a descriptor of its own. */
function changeSize(fs: FileSystem, request: FuseRequest, slot: number, valid: number): number {
  if (fs.inodes.type(slot) !== S_IFREG) return -Errno.EINVAL;
  const size = request.offset(SIZE, 0);
  fs.credentials.keepSetIdBits((valid & FATTR_KILL_SUIDGID) === 0);
  if ((valid & FATTR_FH) !== 0) {
    const handle = fs.handles.slotOf(request.uint32(FH), request.uint32(FH + 4), HandleKind.file);
    if (handle === 0) return -Errno.EBADF;
    return ftruncate(fs.handles.fd(handle), size) < 0 ? -lastErrno() : 0;
  }
  const fd = fs.open(slot, O_WRONLY);
  if (fd < 0) return fd;
  const result = ftruncate(fd, size) < 0 ? -lastErrno() : 0;
  close(fd);
  return result;
}

function writeTime(
  target: number,
  request: FuseRequest,
  isSet: boolean,
  isNow: boolean,
  seconds: number,
  nanoseconds: number,
): void {
  const useRequest = isSet && !isNow;
  times.setUint32(target, useRequest ? request.uint32(seconds) : 0, true);
  times.setUint32(target + 4, useRequest ? request.uint32(seconds + 4) : 0, true);
  // Larger values mean "now" and "leave" to utimensat; cut off here, they are an invalid argument like any above 10^9.
  const given = Math.min(request.uint32(nanoseconds), UTIME_OMIT - 1);
  times.setUint32(target + 8, isSet ? (isNow ? UTIME_NOW : given) : UTIME_OMIT, true);
  times.setUint32(target + 12, 0, true);
}
