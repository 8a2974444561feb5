import {
  DAX_RANGE_SHIFT,
  FUSE_ASYNC_DIO,
  FUSE_ASYNC_READ,
  FUSE_ATOMIC_O_TRUNC,
  FUSE_AUTO_INVAL_DATA,
  FUSE_BIG_WRITES,
  FUSE_CACHE_SYMLINKS,
  FUSE_DIRECT_IO_ALLOW_MMAP,
  FUSE_DO_READDIRPLUS,
  FUSE_HANDLE_KILLPRIV_V2,
  FUSE_HAS_INODE_DAX,
  FUSE_INIT_EXT,
  FUSE_KERNEL_VERSION,
  FUSE_MAP_ALIGNMENT,
  FUSE_MAX_PAGES,
  FUSE_PARALLEL_DIROPS,
  FUSE_READDIRPLUS_AUTO,
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
const MINOR_VERSION = 38;
/** Guests older than this (Linux 4.20) send shorter structures; virtio-fs came with 7.31. */
const MINOR_VERSION_MIN = 31;

const MAX_WRITE_BYTES = 1 << 20;
/** What a request of {@link MAX_WRITE_BYTES} needs, and what the guest's kernel allows by default. */
const MAX_PAGES = 256;
/** Background requests (read-ahead, asynchronous direct I/O) that the guest may have under way. */
const MAX_BACKGROUND = 65535;
const CONGESTION_THRESHOLD = Math.floor((MAX_BACKGROUND * 3) / 4);
const TIME_GRANULARITY_NS = 1;

const WANTED_FLAGS =
  FUSE_ASYNC_READ |
  FUSE_ATOMIC_O_TRUNC |
  FUSE_BIG_WRITES |
  FUSE_AUTO_INVAL_DATA |
  FUSE_DO_READDIRPLUS |
  FUSE_READDIRPLUS_AUTO |
  FUSE_ASYNC_DIO |
  FUSE_PARALLEL_DIROPS |
  FUSE_MAX_PAGES |
  FUSE_CACHE_SYMLINKS |
  FUSE_HANDLE_KILLPRIV_V2 |
  FUSE_INIT_EXT;

/** "ok"; or another major version, which the guest answers with a new INIT; or a guest too old to serve. */
export type InitVerdict = "ok" | "other-major" | "too-old";

export function judgeInit(major: number, minor: number): InitVerdict {
  if (major > FUSE_KERNEL_VERSION) return "other-major";
  if (major < FUSE_KERNEL_VERSION || minor < MINOR_VERSION_MIN) return "too-old";
  return "ok";
}

/**
 * Chooses among what the guest offers.
 * @param hasWindow whether the device has a DAX window
 * @param perFileDax whether files are marked for DAX one by one
 */
export function negotiate(offer: InitOffer, hasWindow: boolean, perFileDax: boolean): InitOffer {
  const hasFlags2 = (offer.flags & FUSE_INIT_EXT) !== 0;
  let wanted = WANTED_FLAGS;
  let wanted2 = FUSE_DIRECT_IO_ALLOW_MMAP;
  if (hasWindow) {
    wanted |= FUSE_MAP_ALIGNMENT;
    if (perFileDax) wanted2 |= FUSE_HAS_INODE_DAX;
  }
  return {
    major: FUSE_KERNEL_VERSION,
    minor: Math.min(offer.minor, MINOR_VERSION),
    maxReadaheadBytes: offer.maxReadaheadBytes,
    flags: (offer.flags & wanted) >>> 0,
    flags2: hasFlags2 ? (offer.flags2 & wanted2) >>> 0 : 0,
  };
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
