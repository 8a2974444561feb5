import { Errno } from "../../lib/sys/errno.js";
import {
  AT_FDCWD,
  close,
  O_ACCMODE,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_DSYNC,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  openat,
  S_IFDIR,
  S_IFREG,
  unlinkat,
} from "../../lib/sys/file.js";
import {
  ENTRY_OUT_BYTES,
  FOPEN_KEEP_CACHE,
  FOPEN_NOFLUSH,
  FUSE_NO_OPEN_SUPPORT,
  FUSE_NO_OPENDIR_SUPPORT,
  FUSE_OPEN_KILL_SUIDGID,
  IN_HEADER_BYTES,
  OPEN_OUT_BYTES,
  OUT_HEADER_BYTES,
} from "../fuse/constants.js";
import { type FuseReply, writeOpen } from "../fuse/reply.js";
import { actAsCreator, actAsSelf } from "./caller.js";
import type { FileSystem } from "./file-system.js";
import { HandleKind } from "./handle-table.js";
import type { NameSource } from "./inode-locators.js";
import type { Operation } from "./operation.js";
import { labelCreated } from "./security-label.js";

const ARGUMENTS = IN_HEADER_BYTES;
const CREATE_IN_BYTES = 16;
const PERMISSIONS = 0o7777;

/**
 * The flags that reach the host in any case. O_APPEND does not: the guest's kernel writes back mapped pages through whichever handle it
 * finds, where appending would corrupt the file. Each write says whether it appends.
 */
const HOST_FLAGS = O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC;

/** The flags for the host's open(2): {@link HOST_FLAGS}, and those that options let pass. */
function hostFlags(fs: FileSystem, flags: number): number {
  let host = flags & (HOST_FLAGS | fs.openFlagsPassed);
  // The guest's kernel reads what it must know of a page before it gathers writes to it, through any handle.
  if (fs.session.gathersWrites && (flags & O_ACCMODE) === O_WRONLY) host = (host & ~O_ACCMODE) | O_RDWR;
  return host;
}

/** Whether an open with these flags may change the file. */
function isForWriting(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
}

/** Opens a regular file of the table for the guest. Anything else is never opened on the host: opening a device or a fifo has effects. */
function openFile(fs: FileSystem, slot: number, flags: number, keepSetIdBits: boolean): number {
  if (fs.inodes.type(slot) !== S_IFREG)
    return fs.inodes.type(slot) === S_IFDIR ? -Errno.EISDIR : -Errno.ENXIO;
  if ((flags & O_ACCMODE) === O_ACCMODE) return -Errno.EINVAL;
  if (isForWriting(flags) && fs.policies.isReadOnly(slot)) return -Errno.EROFS;
  if ((flags & O_TRUNC) !== 0) fs.credentials.keepSetIdBits(keepSetIdBits);
  const fd = fs.open(slot, hostFlags(fs, flags));
  // A file that the host keeps append-only opens in no other way. The guest's offset is the file's end then, unless it gathers writes.
  const mayAppend = fd === -Errno.EPERM && (flags & O_APPEND) !== 0 && !fs.session.gathersWrites;
  return mayAppend ? fs.open(slot, hostFlags(fs, flags) | O_APPEND) : fd;
}

/**
 * Gives the guest a handle for `fd`, a descriptor of the inode in that slot, which is taken over, as struct fuse_open_out at `offset`.
 * @param flags that the guest opened it with
 * @returns 0, or -errno.
 */
export function writeHandle(
  fs: FileSystem,
  reply: FuseReply,
  offset: number,
  fd: number,
  slot: number,
  kind: 0 | 1,
  flags: number,
  openFlags: number,
): number {
  const handle = fs.handles.insert(fd, kind, slot, (flags & (O_SYNC | O_DSYNC)) !== 0);
  if (handle === 0) {
    close(fd);
    return -Errno.ENFILE;
  }
  fs.metrics.handlesLive++;
  writeOpen(reply.view, offset, handle, fs.handles.sequence(handle), openFlags);
  return 0;
}

/** Adds FOPEN_KEEP_CACHE to `flags` if the export keeps what is unchanged, and this has not changed since it was opened last. */
function keepUnchanged(fs: FileSystem, slot: number, flags: number, keepsUnchanged: boolean): number {
  const isKept = keepsUnchanged && fs.stat(slot) === 0 && fs.inodes.identity.noteOpened(slot, fs.statx);
  return isKept ? flags | FOPEN_KEEP_CACHE : flags;
}

export const open: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(ARGUMENTS + 8)) return -Errno.EINVAL;
  if (fs.session.doesWithout(FUSE_NO_OPEN_SUPPORT)) return -Errno.ENOSYS;
  const asked = request.uint32(ARGUMENTS);
  const kill = (request.uint32(ARGUMENTS + 4) & FUSE_OPEN_KILL_SUIDGID) !== 0;
  const fd = openFile(fs, slot, asked, !kill);
  if (fd < 0) return fd;
  const { openFlags, keepsUnchangedFiles, isImmutable } = fs.policies.of(slot);
  // Where nobody ever writes, read locks are in nobody's way, and FLUSH has nothing to do.
  const noFlush = isImmutable ? FOPEN_NOFLUSH : 0;
  const flags = keepUnchanged(fs, slot, openFlags | noFlush, keepsUnchangedFiles);
  const result = writeHandle(fs, reply, OUT_HEADER_BYTES, fd, slot, HandleKind.file, asked, flags);
  return result < 0 ? result : OPEN_OUT_BYTES;
};

export const opendir: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (fs.inodes.type(slot) !== S_IFDIR) return -Errno.ENOTDIR;
  if (fs.session.doesWithout(FUSE_NO_OPENDIR_SUPPORT)) return -Errno.ENOSYS;
  const fd = fs.open(slot, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fd;
  const { opendirFlags, keepsUnchangedDirectories } = fs.policies.of(slot);
  const flags = keepUnchanged(fs, slot, opendirFlags, keepsUnchangedDirectories);
  const result = writeHandle(fs, reply, OUT_HEADER_BYTES, fd, slot, HandleKind.directory, 0, flags);
  return result < 0 ? result : OPEN_OUT_BYTES;
};

export const release: Operation = (fs, request) => {
  if (!request.has(ARGUMENTS + 8)) return -Errno.EINVAL;
  const handle = fs.handles.slotOf(request.uint32(ARGUMENTS), request.uint32(ARGUMENTS + 4), HandleKind.file);
  if (handle === 0) return -Errno.EBADF;
  fs.closeHandle(handle);
  return 0;
};

export const releasedir: Operation = (fs, request) => {
  if (!request.has(ARGUMENTS + 8)) return -Errno.EINVAL;
  const low = request.uint32(ARGUMENTS);
  const handle = fs.handles.slotOf(low, request.uint32(ARGUMENTS + 4), HandleKind.directory);
  if (handle === 0) return -Errno.EBADF;
  fs.closeHandle(handle);
  return 0;
};

/** FUSE_CREATE: makes the file or opens the one that is there, and answers struct fuse_entry_out and struct fuse_open_out. */
export const create: Operation = (fs, request, reply) => {
  const parent = fs.inodeOf(request);
  if (parent === 0) return -Errno.ESTALE;
  if (!request.has(ARGUMENTS + CREATE_IN_BYTES)) return -Errno.EINVAL;
  const flags = request.uint32(ARGUMENTS);
  const mode = request.uint32(ARGUMENTS + 4) & PERMISSIONS;
  const kill = (request.uint32(ARGUMENTS + 12) & FUSE_OPEN_KILL_SUIDGID) !== 0;
  const name = request.takeName(ARGUMENTS + CREATE_IN_BYTES);
  if (name < 0) return name;
  if ((flags & O_ACCMODE) === O_ACCMODE) return -Errno.EINVAL;
  if (fs.policies.isReadOnly(parent)) return -Errno.EROFS;

  const parentFd = fs.pathFd(parent);
  if (parentFd < 0) return parentFd;
  if ((flags & O_EXCL) !== 0) fs.noteName(parentFd, name);
  // O_EXCL on the host even where the guest did not ask for it: what is there already is looked at before it is opened.
  const refusal = actAsCreator(fs, request, request.nameEnd, request.uint32(ARGUMENTS + 8));
  if (refusal < 0) return refusal;
  const creating = hostFlags(fs, flags) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const made = actAsSelf(fs, openat(parentFd, name, creating, mode));
  let fd = made;

  let slot: number;
  if (fd >= 0) {
    slot = adoptOpened(fs, fd, parent, request, name - request.address);
    if (slot < 0) return slot;
    const labelled = labelCreated(fs, request, slot);
    if (labelled < 0) {
      unlinkat(parentFd, name, 0);
      return abandon(fs, slot, fd, labelled);
    }
  } else if (made === -Errno.EEXIST && (flags & O_EXCL) === 0) {
    slot = fs.lookup(parent, request, name - request.address);
    if (slot < 0) return slot;
    fd = openFile(fs, slot, flags, !kill);
    if (fd >= 0 && (flags & O_TRUNC) !== 0) fs.stat(slot);
  } else {
    return made;
  }
  return answerCreated(fs, reply, parent, slot, fd, flags);
};

/** FUSE_TMPFILE: a file without a name in the directory; the name in the request means nothing. */
export const tmpfile: Operation = (fs, request, reply) => {
  const parent = fs.inodeOf(request);
  if (parent === 0) return -Errno.ESTALE;
  if (!request.has(ARGUMENTS + CREATE_IN_BYTES)) return -Errno.EINVAL;
  const flags = request.uint32(ARGUMENTS);
  const mode = request.uint32(ARGUMENTS + 4) & PERMISSIONS;
  if (fs.inodes.type(parent) !== S_IFDIR) return -Errno.ENOTDIR;
  if (fs.policies.isReadOnly(parent)) return -Errno.EROFS;

  const directory = fs.path(parent);
  if (directory < 0) return directory;
  const name = request.takeString(ARGUMENTS + CREATE_IN_BYTES);
  if (name < 0) return name;
  const refusal = actAsCreator(fs, request, request.nameEnd, request.uint32(ARGUMENTS + 8));
  if (refusal < 0) return refusal;
  const creating = (flags & (O_SYNC | O_DSYNC | O_EXCL)) | O_RDWR | O_TMPFILE | O_CLOEXEC;
  const fd = actAsSelf(fs, openat(AT_FDCWD, directory, creating, mode));
  if (fd < 0) return fd;
  const slot = adoptOpened(fs, fd, parent, null, 0);
  if (slot < 0) return slot;
  let result = fs.keep(slot);
  if (result === 0) result = labelCreated(fs, request, slot);
  return result === 0 ? answerCreated(fs, reply, parent, slot, fd, flags) : abandon(fs, slot, fd, result);
};

/** Lets go of a file that was made and is not to be. @returns `error` */
function abandon(fs: FileSystem, slot: number, fd: number, error: number): number {
  close(fd);
  fs.forget(slot, 1);
  return error;
}

/** Puts the new file that `fd` has open into the table. @returns its slot, or -errno with `fd` closed. */
function adoptOpened(
  fs: FileSystem,
  fd: number,
  parent: number,
  source: NameSource | null,
  offset: number,
): number {
  const slot = fs.adopt(fd, parent, source, offset);
  if (slot < 0) close(fd);
  return slot;
}

/** Answers with the inode, referenced once more already, and a handle for `fd`; `fd` may be an errno instead. */
function answerCreated(
  fs: FileSystem,
  reply: FuseReply,
  parent: number,
  slot: number,
  fd: number,
  flags: number,
): number {
  fs.attributes.writeEntry(reply.view, OUT_HEADER_BYTES, parent, slot);
  const openOut = OUT_HEADER_BYTES + ENTRY_OUT_BYTES;
  const openFlags = fs.policies.of(slot).openFlags;
  const result = fd < 0 ? fd : writeHandle(fs, reply, openOut, fd, slot, HandleKind.file, flags, openFlags);
  if (result < 0) {
    fs.forget(slot, 1);
    return result;
  }
  return ENTRY_OUT_BYTES + OPEN_OUT_BYTES;
}
