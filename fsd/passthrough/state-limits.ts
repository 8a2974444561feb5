import { descriptorLimit } from "../../lib/sys/resource-limit.js";
import { DAX_RANGE_BYTES } from "../fuse/constants.js";
import type { StateLimits } from "../state.js";

/** Descriptors that the process needs for itself: sockets, guest memory, eventfds. */
const RESERVED_DESCRIPTORS = 1024;
const DESCRIPTORS_MIN = 256;
/** At a hundred bytes each; the guest's kernel needs ten times that for an inode that it knows. */
const INODES_MAX = 1 << 22;
/** Descriptors of inodes that are open because they were used of late. */
const OPEN_INODES_MAX = 1024;
const OPEN_INODES_MIN = 16;
/** Inodes that keep a descriptor: deleted ones that the guest still knows, and those on file systems without file handles. */
const KEPT_INODES_MAX = 1 << 18;
const HANDLES_MAX = 1 << 16;
const MOUNTS_MAX = 4096;
const DEVICES_MAX = 4096;
/** Each has a descriptor. */
const LOCK_OWNERS_MAX = 1024;
/** Fewer than a virtqueue has descriptors: the request that gives a lock back needs one, too. */
const WAITERS_MAX = 64;

export interface DeviceLimits extends StateLimits {
  /** Most inodes that keep a descriptor until the guest forgets them. */
  readonly keptInodes: number;
}

/** How large one device's tables are, by the limit of descriptors. Two devices in a process share those: neither may take more than half. */
export function deviceLimits(windowBytes: number): DeviceLimits {
  const descriptors = Math.max(DESCRIPTORS_MIN, descriptorLimit().soft - RESERVED_DESCRIPTORS);
  const share = (part: number, max: number) => Math.min(max, Math.floor(descriptors * part));
  return {
    inodes: INODES_MAX,
    openInodes: Math.max(OPEN_INODES_MIN, share(0.05, OPEN_INODES_MAX)),
    keptInodes: share(0.25, KEPT_INODES_MAX),
    handles: share(0.15, HANDLES_MAX),
    mounts: MOUNTS_MAX,
    devices: DEVICES_MAX,
    lockOwners: share(0.04, LOCK_OWNERS_MAX),
    waiters: WAITERS_MAX,
    daxRanges: Math.floor(windowBytes / DAX_RANGE_BYTES),
  };
}
