import { Errno } from "../../lib/sys/errno.js";
import { close, O_RDONLY, O_RDWR, S_IFREG } from "../../lib/sys/file.js";
import { lastErrno } from "../../lib/sys/libc.js";
import {
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  flock,
  LOCK_END,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
  RecordLock,
} from "../../lib/sys/record-lock.js";
import {
  FUSE_LK_FLOCK,
  FUSE_POSIX_LOCKS,
  IN_HEADER_BYTES,
  LK_OUT_BYTES,
  OUT_HEADER_BYTES,
} from "../fuse/constants.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import { HandleKind } from "./handle-table.js";
import { ANSWERED_LATER, type Operation } from "./operation.js";

/** In struct fuse_in_header. */
const NODE_ID = 16;
// struct fuse_lk_in, from the start of the request.
const FH = IN_HEADER_BYTES;
const OWNER = IN_HEADER_BYTES + 8;
const START = IN_HEADER_BYTES + 16;
const END = IN_HEADER_BYTES + 24;
const TYPE = IN_HEADER_BYTES + 32;
const PID = IN_HEADER_BYTES + 36;
const LK_FLAGS = IN_HEADER_BYTES + 40;
const LK_IN_BYTES = 48;
/** struct fuse_flush_in. */
const FLUSH_OWNER = IN_HEADER_BYTES + 16;
const FLUSH_IN_BYTES = 24;

const asked = new RecordLock();
const probe = new RecordLock();

/** FUSE_GETLK: a lock that is in the way of the one asked about. Its process is told if it is one of this guest's. */
export const getlk: Operation = (fs, request, reply) => {
  const slot = lockedFile(fs, request);
  if (slot < 0) return slot;
  const invalid = fill(request);
  if (invalid < 0) return invalid;
  const entry = fs.locks.find(slot, request.uint32(OWNER), request.uint32(OWNER + 4));
  // A handle's own description never has such locks: whatever is in the way is another's.
  const fd = entry !== 0 ? fs.locks.fd(entry) : fs.handles.fd(handleOf(fs, request));
  if (asked.test(fd) < 0) return -lastErrno();
  const { view } = reply;
  const isFree = asked.type === F_UNLCK;
  view.setBigInt64(OUT_HEADER_BYTES, isFree ? 0n : asked.start, true);
  view.setBigInt64(OUT_HEADER_BYTES + 8, isFree ? 0n : asked.end, true);
  view.setUint32(OUT_HEADER_BYTES + 16, asked.type, true);
  const holder = isFree ? 0 : holderOf(fs, slot, asked.start);
  view.setUint32(OUT_HEADER_BYTES + 20, holder === 0 ? 0 : fs.locks.pid(holder), true);
  return LK_OUT_BYTES;
};

/** FUSE_SETLK: takes or gives back a lock, or says EAGAIN. */
export const setlk: Operation = (fs, request) => lock(fs, request);

/**
 * FUSE_SETLKW: waits where {@link setlk} says EAGAIN. The request is kept and tried again; nothing interrupts it, since the guest's
 * driver has no way to say so. What would wait for itself is told EDEADLK.
 */
export const setlkw: Operation = (fs, request) => {
  const result = lock(fs, request);
  if (result !== -Errno.EAGAIN) return result;
  if ((request.uint32(LK_FLAGS) & FUSE_LK_FLOCK) === 0 && fs.waiters.waitsForItself(fs, request))
    return -Errno.EDEADLK;
  return ANSWERED_LATER;
};

/**
 * FUSE_FLUSH, at each close(2) of a process: its locks on the file are gone then. Without locks there is nothing to do, and ENOSYS
 * makes the guest's kernel never ask again, which saves a round trip at every close.
 */
export const flush: Operation = (fs, request) => {
  if (!fs.session.has(FUSE_POSIX_LOCKS)) return -Errno.ENOSYS;
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(IN_HEADER_BYTES + FLUSH_IN_BYTES)) return -Errno.EINVAL;
  const entry = fs.locks.find(slot, request.uint32(FLUSH_OWNER), request.uint32(FLUSH_OWNER + 4));
  if (entry !== 0) fs.locks.remove(entry);
  return 0;
};

function lock(fs: FileSystem, request: FuseRequest): number {
  const slot = lockedFile(fs, request);
  if (slot < 0) return slot;
  if ((request.uint32(LK_FLAGS) & FUSE_LK_FLOCK) !== 0) return lockWhole(fs, request);
  const invalid = fill(request);
  if (invalid < 0) return invalid;
  const [low, high] = [request.uint32(OWNER), request.uint32(OWNER + 4)];
  const known = fs.locks.find(slot, low, high);
  if (known === 0 && asked.type === F_UNLCK) return 0;
  const entry = known === 0 ? newOwner(fs, slot, low, high) : known;
  if (entry < 0) return entry;
  if (asked.set(fs.locks.fd(entry)) < 0) {
    const error = -lastErrno();
    if (known === 0) fs.locks.remove(entry);
    return error === -Errno.EACCES ? -Errno.EAGAIN : error;
  }
  // Linux tells no process with a lock that is given back, and the rest is still that of the one told before.
  if (asked.type !== F_UNLCK) fs.locks.noteAsked(entry, request.uint32(PID), handleOf(fs, request));
  return 0;
}

/** flock(2) is the handle's: processes of the guest that share one share its lock. */
function lockWhole(fs: FileSystem, request: FuseRequest): number {
  const operation = { [F_RDLCK]: LOCK_SH, [F_WRLCK]: LOCK_EX, [F_UNLCK]: LOCK_UN }[request.uint32(TYPE)];
  if (operation === undefined) return -Errno.EINVAL;
  return flock(fs.handles.fd(handleOf(fs, request)), operation | LOCK_NB) < 0 ? -lastErrno() : 0;
}

/** Gives an owner a description of the file, for reading and writing if that is possible: locks cannot move to another one later. */
function newOwner(fs: FileSystem, slot: number, low: number, high: number): number {
  let fd = fs.policies.isReadOnly(slot) ? -Errno.EROFS : fs.open(slot, O_RDWR);
  if (fd < 0) fd = fs.open(slot, O_RDONLY);
  if (fd < 0) return fd;
  const entry = fs.locks.insert(slot, low, high, fd);
  if (entry !== 0) return entry;
  close(fd);
  return -Errno.ENOLCK;
}

/** The slot of the file that a lock request names, which the guest has open; or -errno. */
function lockedFile(fs: FileSystem, request: FuseRequest): number {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(IN_HEADER_BYTES + LK_IN_BYTES)) return -Errno.EINVAL;
  if (fs.inodes.type(slot) !== S_IFREG || handleOf(fs, request) === 0) return -Errno.EBADF;
  return slot;
}

function handleOf(fs: FileSystem, request: FuseRequest): number {
  return fs.handles.slotOf(request.uint32(FH), request.uint32(FH + 4), HandleKind.file);
}

/** Takes the lock out of a request. @returns 0, or -EINVAL */
function fill(request: FuseRequest): number {
  const type = request.uint32(TYPE);
  const start = request.view.getBigInt64(START, true);
  const end = request.view.getBigInt64(END, true);
  if (type > F_UNLCK || start < 0n || end < start || end > LOCK_END) return -Errno.EINVAL;
  asked.fill(type, start, end);
  return 0;
}

/**
 * The entry of the owner in this guest that alone has a lock on the byte, or 0 if it is not one of this guest's, or if several have
 * read locks: if nothing is in the way of its own wish to write there, whatever is there is its own.
 */
function holderOf(fs: FileSystem, slot: number, byte: bigint): number {
  for (let entry = fs.locks.next(slot, 0); entry !== 0; entry = fs.locks.next(slot, entry)) {
    probe.fill(F_WRLCK, byte, byte);
    if (probe.test(fs.locks.fd(entry)) === 0 && probe.type === F_UNLCK) return entry;
  }
  return 0;
}

/**
 * The entry of the owner that holds up a request for a POSIX lock, whose bytes are at `offset` of `view`; or 0 if that is not known.
 */
export function blockerOf(fs: FileSystem, view: DataView, offset: number): number {
  const field = (at: number) => view.getUint32(offset + at, true);
  const slot = fs.inodes.slotOf(field(NODE_ID), field(NODE_ID + 4));
  const handle = fs.handles.slotOf(field(FH), field(FH + 4), HandleKind.file);
  if (slot === 0 || handle === 0) return 0;
  const entry = fs.locks.find(slot, field(OWNER), field(OWNER + 4));
  probe.fill(field(TYPE), view.getBigInt64(offset + START, true), view.getBigInt64(offset + END, true));
  if (probe.test(entry !== 0 ? fs.locks.fd(entry) : fs.handles.fd(handle)) < 0) return 0;
  return probe.type === F_UNLCK ? 0 : holderOf(fs, slot, probe.start);
}

/** Where the owner stands in a request for a lock. */
export const LOCK_REQUEST = { owner: OWNER, flags: LK_FLAGS, bytes: IN_HEADER_BYTES + LK_IN_BYTES } as const;
