import { Errno } from "../../lib/sys/errno.js";
import {
  close,
  fdatasync,
  fsync as hostFsync,
  syncfs as hostSyncfs,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  openat,
  S_IFDIR,
  S_IFREG,
} from "../../lib/sys/file.js";
import { lastErrno } from "../../lib/sys/libc.js";
import { fdatasyncLater, fsyncLater, syncfsLater } from "../../lib/sys/long-file-calls.js";
import { FUSE_FSYNC_FDATASYNC, FUSE_SUBMOUNTS, IN_HEADER_BYTES } from "../fuse/constants.js";
import type { FileSystem } from "./file-system.js";
import { HandleKind } from "./handle-table.js";
import { ROOT_SLOT } from "./inode-table.js";
import { fileAt } from "./opened-file.js";
import { type Operation, UNDER_WAY } from "./operation.js";

const ARGUMENTS = IN_HEADER_BYTES;
const FSYNC_IN_BYTES = 16;

/** A call about a descriptor: at once, and on another thread. */
interface Sync {
  readonly now: (fd: number) => number;
  readonly later: (fd: number, done: (result: number) => void) => void;
}
const FSYNC: Sync = { now: hostFsync, later: fsyncLater };
const FDATASYNC: Sync = { now: fdatasync, later: fdatasyncLater };
const SYNCFS: Sync = { now: hostSyncfs, later: syncfsLater };

/** Nobody can tell how long it takes, so it is never the loop that waits, if there are threads. */
function sync(fs: FileSystem, fd: number, { now, later }: Sync): number {
  const isBegun = fs.longCalls.begin([fd], {
    usesGuestMemory: false,
    start: ([own = -1], done) => later(own, done),
    finish: (result) => result,
  });
  if (isBegun) return UNDER_WAY;
  return now(fd) < 0 ? -lastErrno() : 0;
}

function asAsked(flags: number): Sync {
  return (flags & FUSE_FSYNC_FDATASYNC) !== 0 ? FDATASYNC : FSYNC;
}

export const fsync: Operation = (fs, request) => {
  if (!request.has(ARGUMENTS + FSYNC_IN_BYTES)) return -Errno.EINVAL;
  const fd = fileAt(fs, request, ARGUMENTS);
  return fd < 0 ? -Errno.EBADF : sync(fs, fd, asAsked(request.uint32(ARGUMENTS + 8)));
};

export const fsyncdir: Operation = (fs, request) => {
  if (!request.has(ARGUMENTS + FSYNC_IN_BYTES)) return -Errno.EINVAL;
  const low = request.uint32(ARGUMENTS);
  const handle = fs.handles.slotOf(low, request.uint32(ARGUMENTS + 4), HandleKind.directory);
  return handle === 0
    ? -Errno.EBADF
    : sync(fs, fs.handles.fd(handle), asAsked(request.uint32(ARGUMENTS + 8)));
};

/** FUSE_SYNCFS: writes back the file systems that the inode stands for, which needs descriptors with rights. */
export const syncfs: Operation = (fs, request) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  // To the guest all mounts are one file system then, of which it names the root.
  if (slot === ROOT_SLOT && !fs.session.has(FUSE_SUBMOUNTS)) return syncMounts(fs);
  const type = fs.inodes.type(slot);
  if (type !== S_IFDIR && type !== S_IFREG) return -Errno.EINVAL;
  if (fs.policies.isReadOnly(slot)) return 0;
  const fd = fs.open(slot, O_RDONLY);
  if (fd < 0) return fd;
  const result = sync(fs, fd, SYNCFS);
  close(fd);
  return result;
};

/** syncfs(2) of the root's file system, and of every other that the guest has reached, if it may change them. */
function syncMounts(fs: FileSystem): number {
  const fds: number[] = [];
  if (!fs.policies.isReadOnly(ROOT_SLOT)) {
    const fd = fs.open(ROOT_SLOT, O_RDONLY);
    if (fd < 0) return fd;
    fds.push(fd);
  }
  for (const mount of fs.mounts.writable()) {
    // What the table has may be without rights. Only a directory is opened without an effect.
    const name = fs.procPath.name(fs.mounts.fd(mount));
    const fd = openat(fs.procPath.dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd >= 0) fds.push(fd);
  }
  if (fds.length === 0) return 0;
  const isBegun = fs.longCalls.begin(fds, {
    usesGuestMemory: false,
    start: syncEachLater,
    finish: (result) => result,
  });
  let result = 0;
  for (const fd of fds) {
    if (!isBegun && hostSyncfs(fd) < 0) result = -lastErrno();
    close(fd);
  }
  return isBegun ? UNDER_WAY : result;
}

/** One after the other: they mostly are of one disk. `done` is called as soon as one fails. */
function syncEachLater([fd, ...others]: readonly number[], done: (result: number) => void): void {
  if (fd === undefined) done(0);
  else syncfsLater(fd, (result) => (result < 0 ? done(result) : syncEachLater(others, done)));
}
