import {
  DAX_RANGE_SHIFT,
  FUSE_ALLOW_IDMAP,
  FUSE_ASYNC_DIO,
  FUSE_ASYNC_READ,
  FUSE_ATOMIC_O_TRUNC,
  FUSE_AUTO_INVAL_DATA,
  FUSE_BIG_WRITES,
  FUSE_CACHE_SYMLINKS,
  FUSE_CREATE_SUPP_GROUP,
  FUSE_DIRECT_IO_ALLOW_MMAP,
  FUSE_DO_READDIRPLUS,
  FUSE_DONT_MASK,
  FUSE_FLOCK_LOCKS,
  FUSE_HANDLE_KILLPRIV_V2,
  FUSE_HAS_INODE_DAX,
  FUSE_HAS_IOCTL_DIR,
  FUSE_INIT_EXT,
  FUSE_KERNEL_VERSION,
  FUSE_MAP_ALIGNMENT,
  FUSE_MAX_PAGES,
  FUSE_PARALLEL_DIROPS,
  FUSE_POSIX_ACL,
  FUSE_POSIX_LOCKS,
  FUSE_READDIRPLUS_AUTO,
  FUSE_SECURITY_CTX,
  FUSE_SETXATTR_EXT,
  FUSE_SUBMOUNTS,
  FUSE_WRITEBACK_CACHE,
} from "./constants.js";

/** What FUSE_INIT offers and settles: struct fuse_init_in and fuse_init_out without the fields that we leave zero. */
export interface InitOffer {
  readonly major: number;
  readonly minor: number;
  readonly maxReadaheadBytes: number;
  readonly flags: number;
  readonly flags2: number;
}

/** The minor version that this server speaks. */
const MINOR_VERSION = 46;
/** Guests older than this (Linux 4.20) send shorter structures; virtio-fs came with 7.31. */
const MINOR_VERSION_MIN = 31;

const MAX_WRITE_BYTES = 1 << 20;
/** What a request of {@link MAX_WRITE_BYTES} needs, and what the guest's kernel allows by default. */
const MAX_PAGES = 256;
/** Background requests (read-ahead, asynchronous direct I/O) that the guest may have under way. */
const MAX_BACKGROUND = 65535;
const CONGESTION_THRESHOLD = Math.floor((MAX_BACKGROUND * 3) / 4);
const TIME_GRANULARITY_NS = 1;

/** What the device's options ask of the guest. */
export interface InitWishes {
  /** Whether the device has a DAX window, and whether files are marked for DAX one by one. */
  readonly hasWindow: boolean;
  readonly perFileDax: boolean;
  readonly readdirplus: boolean;
  readonly writeback: boolean;
  readonly allowMmap: boolean;
  readonly killprivV2: boolean;
  readonly announceSubmounts: boolean;
  readonly posixLock: boolean;
  readonly flock: boolean;
  /** "always" demands it of the guest. */
  readonly posixAcl: "never" | "auto" | "always";
  readonly securityLabel: "never" | "auto" | "always";
}

/** What is taken wherever the guest offers it. docs/fsd.md says why, and why the others are not. */
const WANTED_FLAGS =
  FUSE_ASYNC_READ |
  FUSE_ATOMIC_O_TRUNC |
  FUSE_BIG_WRITES |
  FUSE_HAS_IOCTL_DIR |
  FUSE_AUTO_INVAL_DATA |
  FUSE_ASYNC_DIO |
  FUSE_PARALLEL_DIROPS |
  FUSE_MAX_PAGES |
  FUSE_CACHE_SYMLINKS |
  FUSE_INIT_EXT;
const WANTED_FLAGS2 = FUSE_CREATE_SUPP_GROUP | FUSE_ALLOW_IDMAP;

/** ACLs need all three: the umask counts only where the directory has no ACL to inherit, and only the caller knows its groups. */
const ACL_FLAGS = FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_SETXATTR_EXT;

/** "ok"; or another major version, which the guest answers with a new INIT; or a guest too old to serve. */
export type InitVerdict = "ok" | "other-major" | "too-old";

export function judgeInit(major: number, minor: number): InitVerdict {
  if (major > FUSE_KERNEL_VERSION) return "other-major";
  if (major < FUSE_KERNEL_VERSION || minor < MINOR_VERSION_MIN) return "too-old";
  return "ok";
}

/** The option that demands what the guest does not have, or undefined. */
export function unmetDemand(offer: InitOffer, wishes: InitWishes): string | undefined {
  if (wishes.posixAcl === "always" && !hasAll(offer.flags, ACL_FLAGS)) return "posix-acl";
  if (wishes.securityLabel === "always" && !hasAll(offeredFlags2(offer), FUSE_SECURITY_CTX))
    return "security-label";
  return undefined;
}

/** Chooses among what the guest offers. */
export function negotiate(offer: InitOffer, wishes: InitWishes): InitOffer {
  let wanted = WANTED_FLAGS;
  let wanted2 = WANTED_FLAGS2;
  if (wishes.readdirplus) wanted |= FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO;
  if (wishes.writeback) wanted |= FUSE_WRITEBACK_CACHE;
  if (wishes.killprivV2) wanted |= FUSE_HANDLE_KILLPRIV_V2;
  if (wishes.announceSubmounts) wanted |= FUSE_SUBMOUNTS;
  if (wishes.posixLock) wanted |= FUSE_POSIX_LOCKS;
  if (wishes.flock) wanted |= FUSE_FLOCK_LOCKS;
  if (wishes.posixAcl !== "never" && hasAll(offer.flags, ACL_FLAGS)) wanted |= ACL_FLAGS;
  if (wishes.securityLabel !== "never") wanted2 |= FUSE_SECURITY_CTX;
  if (wishes.allowMmap) wanted2 |= FUSE_DIRECT_IO_ALLOW_MMAP;
  if (wishes.hasWindow) {
    wanted |= FUSE_MAP_ALIGNMENT;
    if (wishes.perFileDax) wanted2 |= FUSE_HAS_INODE_DAX;
  }
  return {
    major: FUSE_KERNEL_VERSION,
    minor: Math.min(offer.minor, MINOR_VERSION),
    maxReadaheadBytes: offer.maxReadaheadBytes,
    flags: (offer.flags & wanted) >>> 0,
    flags2: (offeredFlags2(offer) & wanted2) >>> 0,
  };
}

function offeredFlags2(offer: InitOffer): number {
  return (offer.flags & FUSE_INIT_EXT) === 0 ? 0 : offer.flags2;
}

function hasAll(flags: number, wanted: number): boolean {
  return (flags & wanted) === wanted;
}

/** Reads struct fuse_init_in; `flags2` is 0 where the guest's structure ends before it. */
export function readInit(view: DataView, offset: number, hasExtension: boolean): InitOffer {
  return {
    major: view.getUint32(offset, true),
    minor: view.getUint32(offset + 4, true),
    maxReadaheadBytes: view.getUint32(offset + 8, true),
    flags: view.getUint32(offset + 12, true),
    flags2: hasExtension ? view.getUint32(offset + 16, true) : 0,
  };
}

/** Writes struct fuse_init_out. */
export function writeInit(view: DataView, offset: number, settled: InitOffer): void {
  view.setUint32(offset, settled.major, true);
  view.setUint32(offset + 4, settled.minor, true);
  view.setUint32(offset + 8, settled.maxReadaheadBytes, true);
  view.setUint32(offset + 12, settled.flags, true);
  view.setUint16(offset + 16, MAX_BACKGROUND, true);
  view.setUint16(offset + 18, CONGESTION_THRESHOLD, true);
  view.setUint32(offset + 20, MAX_WRITE_BYTES, true);
  view.setUint32(offset + 24, TIME_GRANULARITY_NS, true);
  view.setUint16(offset + 28, MAX_PAGES, true);
  view.setUint16(offset + 30, DAX_RANGE_SHIFT, true);
  view.setUint32(offset + 32, settled.flags2, true);
  // max_stack_depth, request_timeout, unused.
  for (let field = 36; field < 64; field += 4) view.setUint32(offset + field, 0, true);
}
