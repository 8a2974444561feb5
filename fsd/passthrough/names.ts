import { Errno } from "../../lib/sys/errno.js";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  linkat,
  mkdirat,
  mknodat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  readlinkat,
  renameat2,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  symlinkat,
  unlinkat,
} from "../../lib/sys/file.js";
import { lastErrno, permanentAddressOf } from "../../lib/sys/libc.js";
import { ENTRY_OUT_BYTES, IN_HEADER_BYTES, OUT_HEADER_BYTES } from "../fuse/constants.js";
import type { FuseReply } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import { actAsCaller, actAsCreator, actAsSelf, extensions } from "./caller.js";
import type { FileSystem } from "./file-system.js";
import type { Operation } from "./operation.js";
import { labelCreated } from "./security-label.js";

const ARGUMENTS = IN_HEADER_BYTES;
const PERMISSIONS = 0o7777;
const PATH_MAX = 4096;
const RENAME_FLAGS = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;

const emptyPathAddress = permanentAddressOf(new Uint8Array(1));

/** The slot of the directory that the request changes, or -errno. */
function changedDirectory(fs: FileSystem, request: FuseRequest): number {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (fs.inodes.type(slot) !== S_IFDIR) return -Errno.ENOTDIR;
  return fs.policies.isReadOnly(slot) ? -Errno.EROFS : slot;
}

/** Answers with the entry of a name that was just made. */
function answerEntry(
  fs: FileSystem,
  request: FuseRequest,
  reply: FuseReply,
  parent: number,
  name: number,
): number {
  const slot = fs.lookup(parent, request, name - request.address);
  if (slot < 0) return slot;
  if (fs.inodes.type(slot) === S_IFDIR) fs.overlayMarks?.noteNew(slot);
  fs.attributes.writeEntry(reply.view, OUT_HEADER_BYTES, parent, slot);
  return ENTRY_OUT_BYTES;
}

/** Answers with the entry of a new file, labelled. What cannot be labelled is not made. */
function answerCreated(
  fs: FileSystem,
  request: FuseRequest,
  reply: FuseReply,
  parent: number,
  name: number,
): number {
  const result = answerEntry(fs, request, reply, parent, name);
  if (result < 0 || extensions.labelName === 0) return result;
  const slot = reply.view.getUint32(OUT_HEADER_BYTES, true);
  const labelled = labelCreated(fs, request, slot);
  if (labelled === 0) {
    fs.attributes.writeEntry(reply.view, OUT_HEADER_BYTES, parent, slot);
    return result;
  }
  const isDirectory = fs.inodes.type(slot) === S_IFDIR;
  fs.forget(slot, 1);
  const parentFd = fs.pathFd(parent);
  if (parentFd >= 0) unlinkat(parentFd, name, isDirectory ? AT_REMOVEDIR : 0);
  return labelled;
}

export const mknod: Operation = (fs, request, reply) => {
  const parent = changedDirectory(fs, request);
  if (parent < 0) return parent;
  if (!request.has(ARGUMENTS + 16)) return -Errno.EINVAL;
  const name = request.takeName(ARGUMENTS + 16);
  if (name < 0) return name;
  const mode = request.uint32(ARGUMENTS) & (S_IFMT | PERMISSIONS);
  const parentFd = fs.pathFd(parent);
  if (parentFd < 0) return parentFd;
  fs.noteName(parentFd, name);
  let result = actAsCreator(fs, request, request.nameEnd, request.uint32(ARGUMENTS + 8));
  if (result < 0) return result;
  result = actAsSelf(fs, mknodat(parentFd, name, mode, request.uint32(ARGUMENTS + 4)));
  return result < 0 ? result : answerCreated(fs, request, reply, parent, name);
};

export const mkdir: Operation = (fs, request, reply) => {
  const parent = changedDirectory(fs, request);
  if (parent < 0) return parent;
  if (!request.has(ARGUMENTS + 8)) return -Errno.EINVAL;
  const name = request.takeName(ARGUMENTS + 8);
  if (name < 0) return name;
  const mode = request.uint32(ARGUMENTS) & PERMISSIONS;
  const parentFd = fs.pathFd(parent);
  if (parentFd < 0) return parentFd;
  fs.noteName(parentFd, name);
  let result = actAsCreator(fs, request, request.nameEnd, request.uint32(ARGUMENTS + 4));
  if (result < 0) return result;
  result = actAsSelf(fs, mkdirat(parentFd, name, mode));
  return result < 0 ? result : answerCreated(fs, request, reply, parent, name);
};

/** FUSE_SYMLINK: the new name, then the text of the link, which may be any path and is never followed here. */
export const symlink: Operation = (fs, request, reply) => {
  const parent = changedDirectory(fs, request);
  if (parent < 0) return parent;
  const name = request.takeName(ARGUMENTS);
  if (name < 0) return name;
  const targetOffset = request.nameEnd;
  const targetLength = request.takeString(targetOffset);
  if (targetLength < 0) return targetLength;
  if (targetLength >= PATH_MAX) return -Errno.ENAMETOOLONG;
  const parentFd = fs.pathFd(parent);
  if (parentFd < 0) return parentFd;
  fs.noteName(parentFd, name);
  let result = actAsCreator(fs, request, request.nameEnd, 0);
  if (result < 0) return result;
  result = actAsSelf(fs, symlinkat(request.address + targetOffset, parentFd, name));
  return result < 0 ? result : answerCreated(fs, request, reply, parent, name);
};

export const readlink: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (fs.inodes.type(slot) !== S_IFLNK) return -Errno.EINVAL;
  const room = Math.min(request.writable.byteLength - OUT_HEADER_BYTES, PATH_MAX);
  if (room <= 0) return -Errno.EINVAL;
  const fd = fs.pathFd(slot);
  if (fd < 0) return fd;
  const length = readlinkat(fd, emptyPathAddress, reply.bodyAddress, room);
  return length < 0 ? -lastErrno() : length;
};

/** FUSE_LINK: the header names the directory, the argument the inode. */
export const link: Operation = (fs, request, reply) => {
  const parent = changedDirectory(fs, request);
  if (parent < 0) return parent;
  if (!request.has(ARGUMENTS + 8)) return -Errno.EINVAL;
  const source = fs.inodes.slotOf(request.uint32(ARGUMENTS), request.uint32(ARGUMENTS + 4));
  if (source === 0) return -Errno.ESTALE;
  const name = request.takeName(ARGUMENTS + 8);
  if (name < 0) return name;
  if (fs.policies.zone(source) !== fs.policies.childZone(parent, request, name - request.address))
    return -Errno.EXDEV;
  const parentFd = fs.pathFd(parent);
  if (parentFd < 0) return parentFd;
  const path = fs.path(source);
  if (path < 0) return path;
  fs.noteName(parentFd, name);
  if (linkat(AT_FDCWD, path, parentFd, name, AT_SYMLINK_FOLLOW) < 0) return -lastErrno();
  return answerEntry(fs, request, reply, parent, name);
};

function remove(fs: FileSystem, request: FuseRequest, flags: number): number {
  const parent = changedDirectory(fs, request);
  if (parent < 0) return parent;
  const name = request.takeName(ARGUMENTS);
  if (name < 0) return name;
  const parentFd = fs.pathFd(parent);
  if (parentFd < 0) return parentFd;
  fs.noteName(parentFd, name);
  const known = fs.losesName(parent, request, name - request.address);
  if (known < 0) return known;
  if (unlinkat(parentFd, name, flags) === 0) return 0;
  const error = -lastErrno();
  fs.keptName(known);
  return error;
}

export const unlink: Operation = (fs, request) => remove(fs, request, 0);

export const rmdir: Operation = (fs, request) => remove(fs, request, AT_REMOVEDIR);

function move(fs: FileSystem, request: FuseRequest, namesOffset: number, flags: number): number {
  const from = changedDirectory(fs, request);
  if (from < 0) return from;
  if (!request.has(namesOffset)) return -Errno.EINVAL;
  const to = fs.inodes.slotOf(request.uint32(ARGUMENTS), request.uint32(ARGUMENTS + 4));
  if (to === 0) return -Errno.ESTALE;
  if (fs.policies.isReadOnly(to)) return -Errno.EROFS;
  if ((flags & ~RENAME_FLAGS) !== 0) return -Errno.EINVAL;
  const oldName = request.takeName(namesOffset);
  if (oldName < 0) return oldName;
  const newName = request.takeName(request.nameEnd);
  if (newName < 0) return newName;
  const zone = fs.policies.childZone(from, request, oldName - request.address);
  if (zone !== fs.policies.childZone(to, request, newName - request.address)) return -Errno.EXDEV;
  const fromFd = fs.pathFd(from);
  if (fromFd < 0) return fromFd;
  const toFd = fs.pathFd(to);
  if (toFd < 0) return toFd;
  const mayReplace = (flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)) === 0;
  const replaced = mayReplace ? fs.losesName(to, request, newName - request.address) : 0;
  if (replaced < 0) return replaced;
  const moved = fs.willBeRenamed(from, request, oldName - request.address);
  const exchanged =
    (flags & RENAME_EXCHANGE) !== 0 ? fs.willBeRenamed(to, request, newName - request.address) : 0;
  fs.noteName(fromFd, oldName);
  // A whiteout is a new file: it belongs to the caller. A guest with FUSE_ALLOW_IDMAP names the caller only where something is made.
  let result = (flags & RENAME_WHITEOUT) !== 0 ? actAsCaller(fs, request) : 0;
  if (result === 0) result = actAsSelf(fs, renameat2(fromFd, oldName, toFd, newName, flags));
  if (result < 0) {
    fs.keptName(replaced);
    return result;
  }
  fs.renamed(moved, to, request, newName - request.address);
  fs.renamed(exchanged, from, request, oldName - request.address);
  return 0;
}

export const rename: Operation = (fs, request) => move(fs, request, ARGUMENTS + 8, 0);

export const rename2: Operation = (fs, request) => {
  if (!request.has(ARGUMENTS + 16)) return -Errno.EINVAL;
  return move(fs, request, ARGUMENTS + 16, request.uint32(ARGUMENTS + 8));
};
