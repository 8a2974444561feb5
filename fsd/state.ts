/**
 * Everything that a worker of kata-fsd must know to go on where another one stopped, as plain bytes: which inodes and handles
 * the guest holds, which mounts they are on, what is mapped into the DAX window, what INIT settled. The code that works on it
 * keeps nothing of its own that could not be made again from here. Descriptors are stored by number.
 *
 * Records have fixed offsets and never move, so that the memory can be shared between processes.
 */
export interface FsdState {
  readonly session: DataView;
  readonly inodes: DataView;
  /** Heads of the hash chains of `inodes`: a slot number each, 0 for an empty chain. Their number is a power of two. */
  readonly inodeBuckets: Int32Array<ArrayBuffer>;
  readonly handles: DataView;
  readonly mounts: DataView;
  /** File systems by st_dev; the index makes inode numbers unique. */
  readonly devices: DataView;
  /** One record for each 2 MiB range of the DAX window. */
  readonly daxRanges: DataView;
}

export interface StateLimits {
  readonly inodes: number;
  readonly handles: number;
  readonly mounts: number;
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
  /** First slot of the list of freed inodes, 0 if there is none; slots from `inodesUsed` on were never used. */
  freeInode: 16,
  inodesUsed: 20,
  freeHandle: 24,
  handlesUsed: 28,
  /** `flags` as the guest offered them. */
  offeredFlags: 32,
} as const;

/** One inode that the guest knows. The slot number is the low half of its node id. Slot 0 is unused, slot 1 the root. */
export const INODE = {
  bytes: 64,
  /** The O_PATH descriptor, or -1 in a free slot. */
  fd: 0,
  /** High half of the node id: counts how often the slot was reused, so that no node id comes back. */
  sequence: 4,
  inodeLow: 8,
  inodeHigh: 12,
  /** Index in `devices` and in `mounts`. */
  device: 16,
  mount: 20,
  /** float64: how many references the guest holds, taken back by FORGET. */
  lookups: 24,
  /** Next slot of the hash chain or of the free list. */
  next: 32,
  /** S_IFREG and so on. */
  type: 36,
  /** Descriptor for reading without a handle, plus one; 0 if there is none. */
  readFdPlusOne: 40,
  /** The change time that the guest's cached pages are not older than, if `changedIsSettled` is 1. */
  changedSeconds: 44,
  changedNanoseconds: 48,
  changedIsSettled: 52,
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
} as const;

export const DEVICE = { bytes: 8, major: 0, minor: 4 } as const;

/** What is mapped at one range of the window. */
export const DAX_RANGE = {
  bytes: 24,
  nodeIdLow: 0,
  nodeIdHigh: 4,
  /** float64 */
  fileOffset: 8,
  /** Bytes mapped, from the start of the range; 0 means none. */
  mappedBytes: 16,
} as const;

/** Memory that was never touched costs nothing: the kernel gives zeroed pages at the first write. */
export function createFsdState(limits: StateLimits): FsdState {
  const buckets = 2 ** Math.ceil(Math.log2(limits.inodes));
  return {
    session: new DataView(new ArrayBuffer(SESSION.bytes)),
    inodes: new DataView(new ArrayBuffer(limits.inodes * INODE.bytes)),
    inodeBuckets: new Int32Array(buckets),
    handles: new DataView(new ArrayBuffer(limits.handles * HANDLE.bytes)),
    mounts: new DataView(new ArrayBuffer(limits.mounts * MOUNT.bytes)),
    devices: new DataView(new ArrayBuffer(limits.devices * DEVICE.bytes)),
    daxRanges: new DataView(new ArrayBuffer(limits.daxRanges * DAX_RANGE.bytes)),
  };
}
