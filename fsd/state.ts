import { type AllocateTable, allocateOwn } from "../lib/sys/shared-tables.js";

/** Counts changes of what is below: a worker does not go on with the state of one that has another layout. */
export const STATE_VERSION = 2;

/**
 * Everything that a worker of kata-fsd must know to go on where another one stopped, as plain bytes: which inodes and handles
 * the guest holds, which mounts they are on, what is mapped into the DAX window, what INIT settled. The code that works on it
 * keeps nothing of its own that could not be made again from here. Descriptors are stored by number; of an inode there need not be
 * one, since its record says how it is opened again.
 *
 * Records have fixed offsets and never move, so that the memory can be shared between processes.
 */
export interface FsdState {
  readonly session: DataView;
  readonly inodes: DataView;
  /** One record for each {@link INODE_CHUNK.slots} records of `inodes`. */
  readonly inodeChunks: DataView;
  /** File handles and names that are too long for the record of their inode: a {@link EXTENTS} header, then units. */
  readonly inodeExtents: DataView;
  /** Slots of inodes whose descriptor is open for the time being, in the order in which they are looked at to make room. */
  readonly openInodes: Int32Array;
  /** Heads of the hash chains of `inodes`: a slot number each, 0 for an empty chain. Their number is a power of two. */
  readonly inodeBuckets: Int32Array;
  readonly handles: DataView;
  readonly mounts: DataView;
  /** Owners of POSIX locks; the locks are the host's, of the descriptors in here. */
  readonly lockOwners: DataView;
  /** Requests for locks that were taken and not answered. */
  readonly waiters: DataView;
  /** File systems by st_dev; the index makes inode numbers unique. */
  readonly devices: DataView;
  /** One record for each 2 MiB range of the DAX window. */
  readonly daxRanges: DataView;
  /** What the request being served has changed of the guest's references: an {@link UNDO} header, then records. */
  readonly undo: DataView;
}

export interface StateLimits {
  readonly inodes: number;
  readonly openInodes: number;
  readonly handles: number;
  readonly mounts: number;
  readonly lockOwners: number;
  readonly waiters: number;
  readonly devices: number;
  readonly daxRanges: number;
}

/** The session: what INIT settled, and the heads of the free lists. */
export const SESSION = {
  bytes: 64,
  /** 1 between FUSE_INIT and FUSE_DESTROY. */
  initialised: 0,
  minor: 4,
  flags: 8,
  flags2: 12,
  /** First of the chunks of inodes that have room, plus one; 0 if there is none. Chunks from `inodeChunksUsed` on were never used. */
  inodeChunkWithRoom: 16,
  inodeChunksUsed: 20,
  freeHandle: 24,
  handlesUsed: 28,
  /** `flags` as the guest offered them. */
  offeredFlags: 32,
  /** Inodes whose descriptor is kept open until the guest forgets them. */
  inodesKept: 36,
  /** Where the search for a descriptor to close goes on in `openInodes`. */
  openInodesHand: 40,
  /** Live records of `lockOwners`, and one more than the highest that was ever used. */
  lockOwners: 44,
  lockOwnersUsed: 48,
  /** Live records of `waiters`. */
  waiters: 52,
  /** Number of the last question about a mark. */
  markRequest: 56,
} as const;

/** One inode that the guest knows. The slot number is the low half of its node id. Slot 0 is unused, slot 1 the root. */
export const INODE = {
  bytes: 112,
  /** Bits of InodeFlag in passthrough/inode-table.ts; 0 in a free slot. */
  flags: 0,
  /** High half of the node id: counts how often the slot was reused, so that no node id comes back. */
  sequence: 4,
  inodeLow: 8,
  inodeHigh: 12,
  /** Index in `devices` and in `mounts`. */
  device: 16,
  mount: 20,
  /** float64: how many references the guest holds, taken back by FORGET. */
  lookups: 24,
  /** Next slot of the hash chain, or of the chunk's list of freed slots. */
  next: 32,
  /** S_IFREG and so on. */
  type: 36,
  /** The O_PATH descriptor, plus one; 0 if none is open. */
  fdPlusOne: 40,
  /** Descriptor for reading without a handle, plus one; 0 if there is none. */
  readFdPlusOne: 44,
  /** The change time that the guest's cached pages are not older than, if InodeFlag.changeIsSettled says so. */
  changedSeconds: 48,
  changedNanoseconds: 52,
  /** When the inode was made, if InodeFlag.hasBirth says so. */
  bornSeconds: 56,
  bornNanoseconds: 60,
  /** The request that used the descriptor last. */
  usedBy: 64,
  /** How many inodes are found by a name in this one. */
  children: 68,
  /** Two hashes of the file handle, if InodeFlag.hasPrint says so. */
  print: 72,
  print2: 76,
  /** uint16: the type of the file handle, or LOCATOR_IS_NAME; and the length of what follows, 0 if nothing does. */
  locatorType: 80,
  locatorLength: 82,
  /** How the inode is opened again: the handle, or a NAME_LOCATOR; what is longer than this has its unit of `inodeExtents` here. */
  locator: 84,
  locatorInlineBytes: 28,
} as const;

/** In place of a file handle's type: the inode is found by a name, see {@link NAME_LOCATOR}. */
export const LOCATOR_IS_NAME = 0xffff;

/** The slot of the directory that an inode was found in, and the name that it had there, with a NUL. */
export const NAME_LOCATOR = { parent: 0, name: 4 } as const;

/** So many records of inodes that their memory, whole pages, can be given back when all of them are free. */
export const INODE_CHUNK = {
  slots: 2048,
  bytes: 24,
  /** Slots in use. */
  live: 0,
  /** First slot of the list of freed ones, 0 if there is none; the slots from `used` on are untouched. */
  free: 4,
  used: 8,
  /** Sequence of slots that are untouched; and what comes after the highest sequence of all that were used since. */
  sequence: 12,
  nextSequence: 16,
  /** Next chunk that has room, plus one; 0 at the end of the list; NOT_LISTED in a chunk that is full. */
  next: 20,
} as const;

/** Memory in pieces of several units: a list of free pieces for each number of units, and behind `used` what was never taken. */
export const EXTENTS = {
  /** Of the header, and of a unit. Unit numbers count from the header, which is unit 0. */
  unitBytes: 64,
  used: 0,
  live: 4,
  /** First free pieces: of one unit, of two, and so on. */
  free: 8,
  unitsMax: 5,
} as const;

/** One open file or directory. The slot number is the low half of the guest's file handle. Slot 0 is unused. */
export const HANDLE = {
  bytes: 32,
  /** The descriptor, or -1 in a free slot. */
  fd: 0,
  sequence: 4,
  /** 0 file, 1 directory. */
  kind: 8,
  next: 12,
  /** Where the descriptor of a directory stands: the d_off of the last entry read. */
  positionLow: 16,
  positionHigh: 20,
  /** The slot of the inode that was opened; the guest may have forgotten it since. */
  inode: 24,
  /** 1 if writes wait for the disk: O_SYNC or O_DSYNC. */
  isSynchronous: 28,
} as const;

/** One mount below the shared directory, or the part of it that is in one zone of the exports. */
export const MOUNT = {
  bytes: 24,
  idLow: 0,
  idHigh: 4,
  /** Inodes of the table that are on it. They pin the mount, so its id is not reused; 0 means a free record. */
  inodes: 8,
  /** Bits of MountFlag in passthrough/mount-table.ts. */
  flags: 12,
  /** Which exports it is in: a zone of passthrough/export-tree.ts. */
  zone: 16,
  /** A descriptor of the mount, which file handles are opened by, plus one; 0 if there is none. */
  fdPlusOne: 20,
} as const;

/** An owner of POSIX locks on an inode. Record 0 is unused. */
export const LOCK_OWNER = {
  bytes: 24,
  /** The inode, 0 in a free record. */
  slot: 0,
  fd: 4,
  ownerLow: 8,
  ownerHigh: 12,
  /** The guest's process that asked last. */
  pid: 16,
  /** The handle by which it asked last. */
  handle: 20,
} as const;

/** A request that waits for a lock. */
export const WAITER = {
  bytes: 96,
  /** The virtqueue that it came by, plus one; 0 in a free record. */
  queuePlusOne: 0,
  /** Its first descriptor. */
  head: 4,
  /** struct fuse_in_header and struct fuse_lk_in. */
  request: 8,
} as const;

export const DEVICE = { bytes: 8, major: 0, minor: 4 } as const;

/** What is mapped at one range of the window. */
export const DAX_RANGE = {
  bytes: 24,
  nodeIdLow: 0,
  nodeIdHigh: 4,
  /** float64 */
  fileOffset: 8,
  /** float64: bytes mapped, from the start of the range; 0 means none. Negative while the front end is being asked: it may or may not be mapped. */
  mappedBytes: 16,
} as const;

/** What must be taken back when a request is served anew that a worker died of: see passthrough/undo-log.ts. */
export const UNDO = {
  /** The queue of the request, plus one, and its head; 0 for none. */
  queuePlusOne: 0,
  head: 4,
  /** Slot of the handle that it opened, plus one; 0 for none. */
  handlePlusOne: 16,
  /** Records that follow. */
  count: 20,
  /** What was at the name, or in the attribute, that is about to be made or taken away: 0 not looked at yet, 1 nothing, 2 something. */
  found: 24,
  /** The number of the inode that was there. */
  foundLow: 28,
  foundHigh: 32,
  headerBytes: 40,
  /** An inode, and the references that the guest held of it (float64). */
  recordBytes: 16,
  slot: 0,
  sequence: 4,
  lookups: 8,
  /** A READDIRPLUS has some hundred entries at most. */
  recordsMax: 1024,
} as const;

/** Memory that was never touched costs nothing: the kernel gives zeroed pages at the first write. */
export function createFsdState(limits: StateLimits, view: AllocateTable = allocateOwn): FsdState {
  const chunks = Math.ceil(limits.inodes / INODE_CHUNK.slots);
  // A chain of four inodes on average when all are in use; far fewer are, as a rule, and the heads are touched all over.
  const buckets = 2 ** Math.ceil(Math.log2(limits.inodes / 4));
  const numbers = (count: number) => new Int32Array(view(count * 4).buffer);
  return {
    session: view(SESSION.bytes),
    inodes: view(chunks * INODE_CHUNK.slots * INODE.bytes),
    inodeChunks: view(chunks * INODE_CHUNK.bytes),
    inodeExtents: view((1 + limits.inodes) * EXTENTS.unitBytes),
    openInodes: numbers(limits.openInodes),
    inodeBuckets: numbers(buckets),
    handles: view(limits.handles * HANDLE.bytes),
    mounts: view(limits.mounts * MOUNT.bytes),
    lockOwners: view(limits.lockOwners * LOCK_OWNER.bytes),
    waiters: view(limits.waiters * WAITER.bytes),
    devices: view(limits.devices * DEVICE.bytes),
    daxRanges: view(limits.daxRanges * DAX_RANGE.bytes),
    undo: view(UNDO.headerBytes + UNDO.recordsMax * UNDO.recordBytes),
  };
}
