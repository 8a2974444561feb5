import { MARK_OPAQUE } from "../../lib/overlay-marks/message.js";
import { Errno } from "../../lib/sys/errno.js";
import {
  AT_FDCWD,
  fchmodat,
  getxattr as hostGetxattr,
  listxattr as hostListxattr,
  removexattr as hostRemovexattr,
  setxattr as hostSetxattr,
  S_IFDIR,
  S_IFREG,
} from "../../lib/sys/file.js";
import { lastErrno } from "../../lib/sys/libc.js";
import {
  FUSE_SETXATTR_ACL_KILL_SGID,
  FUSE_SETXATTR_EXT,
  IN_HEADER_BYTES,
  OUT_HEADER_BYTES,
} from "../fuse/constants.js";
import { type FuseReply, REPLY_BODY_MAX_BYTES } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import { Verdict, XATTR_NAME_MAX } from "../xattr-map/name-map.js";
import type { FileSystem } from "./file-system.js";
import type { Operation } from "./operation.js";
import { ACL_ACCESS } from "./xattr-names.js";

// The guest's kernel has decided who in the guest may set what. Which names exist at all is decided in xattr-map.

const ARGUMENTS = IN_HEADER_BYTES;
const SETXATTR_IN_COMPAT_BYTES = 8;
const SETXATTR_IN_BYTES = 16;
const GETXATTR_IN_BYTES = 8;
const GETXATTR_OUT_BYTES = 8;
const XATTR_SIZE_MAX = 65536;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const PERMISSIONS = 0o7777;
const S_ISGID = 0o2000;

/**
 * Finds the attribute name at `offset` of the request and translates it: see {@link FileSystem.xattrNames}.
 * @returns a {@link Verdict}, or -errno
 */
function takeAttributeName(fs: FileSystem, request: FuseRequest, slot: number, offset: number): number {
  const length = request.takeString(offset);
  if (length < 0) return length;
  if (length === 0) return -Errno.EINVAL;
  if (length > XATTR_NAME_MAX) return -Errno.ERANGE;
  return fs.xattrNames.toHost(request, offset, length, fs.policies.of(slot).isOverlay);
}

/** What a change comes to whose attribute is none of the host's: 0 if there is nothing to say against it, or -errno. */
function refusal(verdict: number): number {
  if (verdict < 0) return verdict;
  if (verdict === Verdict.denied) return -Errno.EPERM;
  return verdict === Verdict.unsupported ? -Errno.EOPNOTSUPP : 0;
}

/** -errno of a change that the host refused. */
function hostRefusal(fs: FileSystem, slot: number, verdict: number): number {
  const errno = lastErrno();
  // Linux keeps user.* on files and directories only. The guest gave a name that may stand on anything else, too: to it this
  // file system just does not know it.
  const type = fs.inodes.type(slot);
  const isOther = type !== S_IFREG && type !== S_IFDIR;
  return verdict === Verdict.renamed && errno === Errno.EPERM && isOther ? -Errno.EOPNOTSUPP : -errno;
}

export const setxattr: Operation = (fs, request) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  const isExtended = fs.session.has(FUSE_SETXATTR_EXT);
  const nameOffset = ARGUMENTS + (isExtended ? SETXATTR_IN_BYTES : SETXATTR_IN_COMPAT_BYTES);
  if (!request.has(nameOffset)) return -Errno.EINVAL;
  if (fs.policies.isReadOnly(slot)) return -Errno.EROFS;
  const size = request.uint32(ARGUMENTS);
  const flags = request.uint32(ARGUMENTS + 4);
  const verdict = takeAttributeName(fs, request, slot, nameOffset);
  const valueOffset = request.nameEnd;
  const refused = refusal(verdict);
  if (refused < 0) return refused;
  if (size > XATTR_SIZE_MAX) return -Errno.E2BIG;
  if (!request.has(valueOffset + size)) return -Errno.EINVAL;
  if (verdict === Verdict.forgotten) return 0;
  if (verdict === Verdict.opaque) {
    return setMark(fs, slot, size === 1 && request.bytes[valueOffset] === MARK_OPAQUE, flags);
  }
  if (isExtended && (request.uint32(ARGUMENTS + 8) & FUSE_SETXATTR_ACL_KILL_SGID) !== 0) {
    const result = clearSetGroupId(fs, request, slot, nameOffset);
    if (result < 0) return result;
  }
  const path = fs.path(slot);
  if (path < 0) return path;
  const value = request.address + valueOffset;
  if ((flags & XATTR_CREATE) !== 0) fs.undo.noteFound(hostGetxattr(path, fs.xattrNames.address, 0, 0) >= 0);
  return hostSetxattr(path, fs.xattrNames.address, value, size, flags) < 0
    ? hostRefusal(fs, slot, verdict)
    : 0;
};

/** Sets the attribute named at `nameOffset` of the request to `size` bytes at the address `value`. @returns 0, or -errno. */
export function setAttribute(
  fs: FileSystem,
  request: FuseRequest,
  slot: number,
  nameOffset: number,
  nameLength: number,
  value: number,
  size: number,
): number {
  if (nameLength > XATTR_NAME_MAX) return -Errno.ERANGE;
  const verdict = fs.xattrNames.toHost(request, nameOffset, nameLength, fs.policies.of(slot).isOverlay);
  const refused = refusal(verdict);
  if (refused < 0 || verdict === Verdict.forgotten) return refused;
  if (verdict === Verdict.opaque) return -Errno.EPERM;
  const path = fs.path(slot);
  if (path < 0) return path;
  const result = hostSetxattr(path, fs.xattrNames.address, value, size, 0);
  return result < 0 ? hostRefusal(fs, slot, verdict) : 0;
}

/**
 * Takes the capabilities from a file that is written to, as the host does where they have their own name. The guest's kernel does not, when it
 * caches nothing of the file. @param fd open for writing
 */
export function dropRenamedCapability(fs: FileSystem, fd: number): number {
  const name = fs.xattrNames.renamedCapability;
  if (name === 0 || hostRemovexattr(fs.procPath.path(fd), name) >= 0) return 0;
  const errno = lastErrno();
  return errno === Errno.ENODATA || errno === Errno.EOPNOTSUPP ? 0 : -errno;
}

/** The mark of a directory of an overlay: see overlay-marks.ts. */
function readMark(fs: FileSystem, slot: number): number {
  return fs.inodes.type(slot) === S_IFDIR ? (fs.overlayMarks?.read(slot) ?? 0) : 0;
}

/** As setxattr(2) with `flags`. A value other than the mark's means nothing to any overlay, and is not kept. */
function setMark(fs: FileSystem, slot: number, isOpaque: boolean, flags: number): number {
  if (fs.inodes.type(slot) !== S_IFDIR || fs.overlayMarks === null) return -Errno.EPERM;
  const mark = fs.overlayMarks.read(slot);
  if (mark < 0) return mark;
  if ((flags & XATTR_CREATE) !== 0 && mark !== 0) return -Errno.EEXIST;
  if ((flags & XATTR_REPLACE) !== 0 && mark === 0) return -Errno.ENODATA;
  if (mark === (isOpaque ? MARK_OPAQUE : 0)) return 0;
  return fs.overlayMarks.write(slot, isOpaque);
}

/**
 * A new ACL takes the set-group-id bit from a file whose group the caller is not in. The guest's kernel knows whether that is so; the
 * host's would ask this daemon, which may always keep it.
 */
function clearSetGroupId(fs: FileSystem, request: FuseRequest, slot: number, nameOffset: number): number {
  const name = request.bytes.subarray(nameOffset, request.nameEnd - 1);
  if (ACL_ACCESS.compare(name) !== 0) return 0;
  const result = fs.stat(slot);
  if (result < 0 || (fs.statx.mode & S_ISGID) === 0) return result;
  const path = fs.path(slot);
  if (path < 0) return path;
  return fchmodat(AT_FDCWD, path, fs.statx.mode & PERMISSIONS & ~S_ISGID, 0) < 0 ? -lastErrno() : 0;
}

export const getxattr: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(ARGUMENTS + GETXATTR_IN_BYTES)) return -Errno.EINVAL;
  const verdict = takeAttributeName(fs, request, slot, ARGUMENTS + GETXATTR_IN_BYTES);
  if (verdict < 0) return verdict;
  if (verdict === Verdict.unsupported) return -Errno.EOPNOTSUPP;
  if (verdict === Verdict.denied || verdict === Verdict.forgotten) return -Errno.ENODATA;
  const size = roomFor(request);
  if (size < 0) return size;
  if (verdict === Verdict.opaque) {
    const mark = readMark(fs, slot);
    if (mark <= 0) return mark < 0 ? mark : -Errno.ENODATA;
    reply.bytes[OUT_HEADER_BYTES] = mark;
    return answer(request, reply, 1);
  }
  const path = fs.path(slot);
  if (path < 0) return path;
  const result = hostGetxattr(path, fs.xattrNames.address, reply.bodyAddress, size);
  return result < 0 ? -lastErrno() : answer(request, reply, result);
};

export const listxattr: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(ARGUMENTS + GETXATTR_IN_BYTES)) return -Errno.EINVAL;
  const size = roomFor(request);
  if (size < 0) return size;
  const path = fs.path(slot);
  if (path < 0) return path;
  // The guest's list is never longer than the host's, and may be shorter: its length is known only afterwards.
  const listed = hostListxattr(path, reply.bodyAddress, REPLY_BODY_MAX_BYTES);
  if (listed < 0) return -lastErrno();
  const length = fs.xattrNames.listToGuest(
    reply.bytes,
    OUT_HEADER_BYTES,
    listed,
    fs.policies.of(slot).isOverlay,
  );
  return size > 0 && length > size ? -Errno.ERANGE : answer(request, reply, length);
};

/** Bytes that the guest has room for: 0 if it asks only how many there are; -ERANGE if it says other than it does. */
function roomFor(request: FuseRequest): number {
  const wanted = request.uint32(ARGUMENTS);
  if (wanted === 0) return 0;
  const size = Math.min(wanted, request.writable.byteLength - OUT_HEADER_BYTES, REPLY_BODY_MAX_BYTES);
  return size > 0 ? size : -Errno.ERANGE;
}

/** Answers what stands in the reply's body, or only its length if that was asked for. */
function answer(request: FuseRequest, reply: FuseReply, length: number): number {
  if (request.uint32(ARGUMENTS) > 0) return length;
  reply.view.setUint32(OUT_HEADER_BYTES, length, true);
  reply.view.setUint32(OUT_HEADER_BYTES + 4, 0, true);
  return GETXATTR_OUT_BYTES;
}

export const removexattr: Operation = (fs, request) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (fs.policies.isReadOnly(slot)) return -Errno.EROFS;
  const verdict = takeAttributeName(fs, request, slot, ARGUMENTS);
  const refused = refusal(verdict);
  if (refused < 0) return refused;
  if (verdict === Verdict.forgotten) return -Errno.ENODATA;
  if (verdict === Verdict.opaque) return setMark(fs, slot, false, XATTR_REPLACE);
  const path = fs.path(slot);
  if (path < 0) return path;
  fs.undo.noteFound(hostGetxattr(path, fs.xattrNames.address, 0, 0) >= 0);
  return hostRemovexattr(path, fs.xattrNames.address) < 0 ? hostRefusal(fs, slot, verdict) : 0;
};
