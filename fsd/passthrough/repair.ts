import { close } from "../../lib/sys/file.js";
import {
  EXTENTS,
  type FsdState,
  HANDLE,
  INODE,
  INODE_CHUNK,
  LOCATOR_IS_NAME,
  LOCK_OWNER,
  MOUNT,
  NAME_LOCATOR,
  SESSION,
  WAITER,
} from "../state.js";
import { InodeFlag } from "./inode-fields.js";
import { inodeBucket, ROOT_SLOT } from "./inode-table.js";
import { UndoLog } from "./undo-log.js";

/** Standard descriptors are nobody's. */
const FIRST_FD = 3;
const NOT_LISTED = 0xffff_ffff;

/** Every descriptor that the tables name. */
export function stateDescriptors(state: FsdState): number[] {
  const found: number[] = [];
  const { session, handles, mounts, lockOwners } = state;
  for (let slot = 1; slot < session.getUint32(SESSION.handlesUsed, true); slot++) {
    found.push(handles.getInt32(slot * HANDLE.bytes + HANDLE.fd, true));
  }
  forEachInode(state, (record) => {
    found.push(state.inodes.getInt32(record + INODE.fdPlusOne, true) - 1);
  });
  for (let record = 0; record < mounts.byteLength; record += MOUNT.bytes) {
    found.push(mounts.getInt32(record + MOUNT.fdPlusOne, true) - 1);
  }
  for (let entry = 1; entry < session.getUint32(SESSION.lockOwnersUsed, true); entry++) {
    const record = entry * LOCK_OWNER.bytes;
    if (lockOwners.getUint32(record + LOCK_OWNER.slot, true) === 0) continue;
    found.push(lockOwners.getInt32(record + LOCK_OWNER.fd, true));
  }
  return found.filter((fd) => fd >= FIRST_FD);
}

/** How many there are after a repair: for the counters. */
export interface Repaired {
  readonly inodes: number;
  readonly handles: number;
}

/**
 * Puts the tables of a worker in order that died in the midst of whatever it did. A record is in use or not by one number of its own, which is
 * written last when it is taken and first when it is given back; everything that links and counts records is made anew from that. It
 * takes one look at each record and no system call.
 *
 * @param isUnanswered whether the request of that queue and head will be served anew
 * @param isMissing whether a descriptor is one that the worker had closed, and not yet noted so
 */
export function repairState(
  state: FsdState,
  isUnanswered: (queueIndex: number, head: number) => boolean,
  isMissing: (fd: number) => boolean,
): Repaired {
  const undo = new UndoLog(state);
  if (isUnanswered(undo.queueIndex, undo.head)) takeBack(state, undo);
  const handles = repairHandles(state, isMissing);
  repairLocks(state, isMissing);
  clearWaiters(state);
  const inodes = repairInodes(state, isMissing);
  repairExtents(state);
  return { inodes, handles };
}

/** Handles and references that the guest was never told of. */
function takeBack({ inodes, handles }: FsdState, undo: UndoLog): void {
  undo.takeBack((slot, sequence, lookups) => {
    const record = slot * INODE.bytes;
    const isIt =
      (inodes.getUint32(record + INODE.flags, true) & InodeFlag.used) !== 0 &&
      inodes.getUint32(record + INODE.sequence, true) === sequence;
    if (isIt) inodes.setFloat64(record + INODE.lookups, lookups, true);
  });
  const { handle } = undo;
  if (handle === 0) return;
  const field = handle * HANDLE.bytes + HANDLE.fd;
  const fd = handles.getInt32(field, true);
  if (fd >= FIRST_FD) close(fd);
  handles.setInt32(field, -1, true);
}

/** @returns how many are open */
function repairHandles({ session, handles }: FsdState, isMissing: (fd: number) => boolean): number {
  let free = 0;
  let open = 0;
  for (let slot = session.getUint32(SESSION.handlesUsed, true) - 1; slot > 0; slot--) {
    const record = slot * HANDLE.bytes;
    const fd = handles.getInt32(record + HANDLE.fd, true);
    if (fd >= FIRST_FD && !isMissing(fd)) {
      open++;
      continue;
    }
    handles.setInt32(record + HANDLE.fd, -1, true);
    handles.setUint32(record + HANDLE.next, free, true);
    free = slot;
  }
  session.setUint32(SESSION.freeHandle, free, true);
  return open;
}

function repairLocks({ session, lockOwners }: FsdState, isMissing: (fd: number) => boolean): void {
  let live = 0;
  for (let entry = 1; entry < session.getUint32(SESSION.lockOwnersUsed, true); entry++) {
    const record = entry * LOCK_OWNER.bytes;
    if (lockOwners.getUint32(record + LOCK_OWNER.slot, true) === 0) continue;
    if (isMissing(lockOwners.getInt32(record + LOCK_OWNER.fd, true))) {
      lockOwners.setUint32(record + LOCK_OWNER.slot, 0, true);
    } else {
      live++;
    }
  }
  session.setUint32(SESSION.lockOwners, live, true);
}

/** Requests that wait are among those that are served anew, and wait again. */
function clearWaiters({ session, waiters }: FsdState): void {
  for (let record = 0; record < waiters.byteLength; record += WAITER.bytes) {
    waiters.setUint32(record + WAITER.queuePlusOne, 0, true);
  }
  session.setUint32(SESSION.waiters, 0, true);
}

/** @returns how many the guest knows, the root not counted */
function repairInodes(state: FsdState, isMissing: (fd: number) => boolean): number {
  const { session, inodes, mounts, openInodes } = state;
  const flagsOf = (record: number) => inodes.getUint32(record + INODE.flags, true);

  forEachInode(state, (record) => {
    inodes.setUint32(record + INODE.children, 0, true);
    // It is opened again when it is wanted.
    inodes.setInt32(record + INODE.readFdPlusOne, 0, true);
    const fd = inodes.getInt32(record + INODE.fdPlusOne, true) - 1;
    if (fd >= 0 && isMissing(fd)) {
      inodes.setInt32(record + INODE.fdPlusOne, 0, true);
      inodes.setUint32(record + INODE.flags, flagsOf(record) & ~InodeFlag.isKept, true);
    }
  });
  forEachInode(state, (record) => {
    const parent = parentOf(state, record) * INODE.bytes;
    if (parent !== 0) {
      inodes.setUint32(parent + INODE.children, inodes.getUint32(parent + INODE.children, true) + 1, true);
    }
  });
  // An inode that nobody refers to leaves its directory, to which that may have been the last reference.
  const drop = (first: number) => {
    let record = first;
    while (
      record !== ROOT_SLOT * INODE.bytes &&
      (flagsOf(record) & InodeFlag.used) !== 0 &&
      inodes.getFloat64(record + INODE.lookups, true) === 0
    ) {
      if (inodes.getUint32(record + INODE.children, true) > 0) {
        inodes.setUint32(record + INODE.flags, flagsOf(record) | InodeFlag.isForgotten, true);
        return;
      }
      const fd = inodes.getInt32(record + INODE.fdPlusOne, true) - 1;
      if (fd >= 0) close(fd);
      const parent = parentOf(state, record) * INODE.bytes;
      inodes.setUint32(record + INODE.sequence, inodes.getUint32(record + INODE.sequence, true) + 1, true);
      inodes.setUint32(record + INODE.flags, 0, true);
      if (parent === 0) return;
      inodes.setUint32(parent + INODE.children, inodes.getUint32(parent + INODE.children, true) - 1, true);
      record = parent;
    }
  };
  forEachInode(state, drop);

  for (let record = 0; record < mounts.byteLength; record += MOUNT.bytes) {
    mounts.setUint32(record + MOUNT.inodes, 0, true);
  }
  openInodes.fill(0);
  state.inodeBuckets.fill(0);
  let known = 0;
  let kept = 0;
  let open = 0;
  forEachInode(state, (record) => {
    const mount = inodes.getUint32(record + INODE.mount, true) * MOUNT.bytes;
    mounts.setUint32(mount + MOUNT.inodes, mounts.getUint32(mount + MOUNT.inodes, true) + 1, true);
    const bucket = inodeBucket(
      inodes.getUint32(record + INODE.inodeLow, true),
      inodes.getUint32(record + INODE.inodeHigh, true),
      inodes.getUint32(record + INODE.mount, true),
      state.inodeBuckets.length,
    );
    inodes.setUint32(record + INODE.next, state.inodeBuckets[bucket] ?? 0, true);
    state.inodeBuckets[bucket] = record / INODE.bytes;
    const flags = flagsOf(record);
    if ((flags & InodeFlag.isForgotten) === 0) known++;
    if ((flags & InodeFlag.isKept) !== 0) kept++;
    else if (inodes.getInt32(record + INODE.fdPlusOne, true) > 0) openInodes[open++] = record / INODE.bytes;
  });
  for (let record = 0; record < mounts.byteLength; record += MOUNT.bytes) {
    if (mounts.getUint32(record + MOUNT.inodes, true) > 0) continue;
    const fd = mounts.getInt32(record + MOUNT.fdPlusOne, true) - 1;
    if (fd >= FIRST_FD) close(fd);
    mounts.setInt32(record + MOUNT.fdPlusOne, 0, true);
  }
  session.setUint32(SESSION.inodesKept, kept, true);
  session.setUint32(SESSION.openInodesHand, 0, true);
  repairChunks(state);
  return Math.max(0, known - 1);
}

/** Makes the lists of free slots, and of chunks that have some. */
function repairChunks({ session, inodes, inodeChunks }: FsdState): void {
  let withRoom = 0;
  for (let chunk = session.getUint32(SESSION.inodeChunksUsed, true) - 1; chunk >= 0; chunk--) {
    const entry = chunk * INODE_CHUNK.bytes;
    const first = chunk * INODE_CHUNK.slots;
    // Slot 0, which is never given out, counts.
    const lowest = chunk === 0 ? 1 : 0;
    const used = Math.max(lowest, inodeChunks.getUint32(entry + INODE_CHUNK.used, true));
    const sequence = inodeChunks.getUint32(entry + INODE_CHUNK.sequence, true);
    inodeChunks.setUint32(entry + INODE_CHUNK.used, used, true);
    let live = lowest;
    let free = 0;
    for (let index = used - 1; index >= lowest; index--) {
      const record = (first + index) * INODE.bytes;
      if ((inodes.getUint32(record + INODE.flags, true) & InodeFlag.used) !== 0) {
        live++;
        continue;
      }
      const own = inodes.getUint32(record + INODE.sequence, true);
      inodes.setUint32(record + INODE.sequence, Math.max(own, sequence), true);
      inodes.setUint32(record + INODE.next, free, true);
      free = first + index;
    }
    inodeChunks.setUint32(entry + INODE_CHUNK.live, live, true);
    inodeChunks.setUint32(entry + INODE_CHUNK.free, free, true);
    const isFull = free === 0 && used === INODE_CHUNK.slots;
    inodeChunks.setUint32(entry + INODE_CHUNK.next, isFull ? NOT_LISTED : withRoom, true);
    if (!isFull) withRoom = chunk + 1;
  }
  session.setUint32(SESSION.inodeChunkWithRoom, withRoom, true);
}

/** Makes the lists of free pieces: all between those that an inode has. */
function repairExtents(state: FsdState): void {
  const { inodes, inodeExtents } = state;
  const end = inodeExtents.getUint32(EXTENTS.used, true);
  if (end === 0) return;
  const taken: { unit: number; units: number }[] = [];
  forEachInode(state, (record) => {
    const length = inodes.getUint16(record + INODE.locatorLength, true);
    if (length <= INODE.locatorInlineBytes) return;
    const unit = inodes.getUint32(record + INODE.locator, true);
    const units = Math.ceil(length / EXTENTS.unitBytes);
    if (unit > 0 && unit + units <= end) taken.push({ unit, units });
    else inodes.setUint16(record + INODE.locatorLength, 0, true);
  });
  taken.sort((a, b) => a.unit - b.unit);
  for (let units = 1; units <= EXTENTS.unitsMax; units++) {
    inodeExtents.setUint32(EXTENTS.free + 4 * (units - 1), 0, true);
  }
  const give = (from: number, to: number) => {
    for (let unit = from; unit < to; unit += EXTENTS.unitsMax) {
      const list = EXTENTS.free + 4 * (Math.min(EXTENTS.unitsMax, to - unit) - 1);
      inodeExtents.setUint32(unit * EXTENTS.unitBytes, inodeExtents.getUint32(list, true), true);
      inodeExtents.setUint32(list, unit, true);
    }
  };
  let from = 1;
  for (const { unit, units } of taken) {
    give(from, unit);
    from = unit + units;
  }
  give(from, end);
  inodeExtents.setUint32(EXTENTS.live, taken.length, true);
}

/** The slot of the directory that the inode is found in by a name, if that directory is in the table; else 0. */
function parentOf({ inodes, inodeExtents }: FsdState, record: number): number {
  const length = inodes.getUint16(record + INODE.locatorLength, true);
  if (length === 0 || inodes.getUint16(record + INODE.locatorType, true) !== LOCATOR_IS_NAME) return 0;
  const parent =
    length <= INODE.locatorInlineBytes
      ? inodes.getUint32(record + INODE.locator + NAME_LOCATOR.parent, true)
      : inodeExtents.getUint32(
          inodes.getUint32(record + INODE.locator, true) * EXTENTS.unitBytes + NAME_LOCATOR.parent,
          true,
        );
  const isThere = (inodes.getUint32(parent * INODE.bytes + INODE.flags, true) & InodeFlag.used) !== 0;
  return isThere ? parent : 0;
}

/** Calls `see` with the offset of each record that is in use. */
function forEachInode({ session, inodes, inodeChunks }: FsdState, see: (record: number) => void): void {
  const chunks = session.getUint32(SESSION.inodeChunksUsed, true);
  for (let chunk = 0; chunk < chunks; chunk++) {
    const used = inodeChunks.getUint32(chunk * INODE_CHUNK.bytes + INODE_CHUNK.used, true);
    for (let index = 0; index < used; index++) {
      const record = (chunk * INODE_CHUNK.slots + index) * INODE.bytes;
      if ((inodes.getUint32(record + INODE.flags, true) & InodeFlag.used) !== 0) see(record);
    }
  }
}
