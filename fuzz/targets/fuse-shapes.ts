import { IN_HEADER_BYTES, type Opcode } from "../../fsd/fuse/constants.js";
import { cstring, u32, u64 } from "../../fsd/testing/test-guest.js";
import type { Decisions } from "../decisions.js";

export type OpcodeName = keyof typeof Opcode;

/**
 * The arguments: n name, N node id, h file handle, w 32 bits, q 64 bits, l a length that the disk can bear, r a place in the DAX window,
 * x an attribute's name, c a command that changes nothing, b bytes.
 */
const shapes: Readonly<Record<OpcodeName, string>> = {
  LOOKUP: "n",
  FORGET: "q",
  GETATTR: "wwh",
  SETATTR: "wwhlqqqqwwwwwwww",
  READLINK: "",
  SYMLINK: "nn",
  MKNOD: "wwwwn",
  MKDIR: "wwn",
  UNLINK: "n",
  RMDIR: "n",
  RENAME: "Nnn",
  LINK: "Nn",
  OPEN: "ww",
  READ: "hqwwqww",
  WRITE: "hlwwqwwb",
  STATFS: "",
  RELEASE: "hwwq",
  FSYNC: "hww",
  SETXATTR: "wwxb",
  GETXATTR: "wwx",
  LISTXATTR: "ww",
  REMOVEXATTR: "x",
  FLUSH: "hwwq",
  INIT: "wwwwwwwwwwwwwwww",
  OPENDIR: "ww",
  READDIR: "hqwwqww",
  RELEASEDIR: "hwwq",
  FSYNCDIR: "hww",
  ACCESS: "ww",
  CREATE: "wwwwn",
  INTERRUPT: "q",
  DESTROY: "",
  BATCH_FORGET: "wwNqNq",
  FALLOCATE: "hllww",
  READDIRPLUS: "hqwwqww",
  RENAME2: "Nwwnn",
  LSEEK: "hqww",
  COPY_FILE_RANGE: "hlNhllq",
  SETUPMAPPING: "qrrwwr",
  REMOVEMAPPING: "wrr",
  SYNCFS: "q",
  TMPFILE: "wwwwn",
  GETLK: "hqqqwwww",
  SETLK: "hqqqwwww",
  SETLKW: "hqqqwwww",
  BMAP: "qww",
  IOCTL: "hwcqwwb",
  POLL: "hqww",
  NOTIFY_REPLY: "qqwwqq",
  STATX: "wwhww",
  COPY_FILE_RANGE_64: "hlNhllq",
};

export const opcodeNames = Object.keys(shapes) as readonly OpcodeName[];

const NAMES = [
  "a",
  "b",
  "c",
  "d",
  "e",
  "f",
  "g",
  "h",
  "..",
  ".",
  "",
  "../canary",
  "/etc/passwd",
  "d/e",
  "a\0b",
  "x".repeat(255),
  "x".repeat(256),
  "\xff\xfe",
];
const ATTRIBUTES = [
  "user.a",
  "user.b",
  "trusted.overlay.opaque",
  "trusted.overlay.redirect",
  "security.capability",
  "system.posix_acl_access",
  "nonsense",
  "",
  `user.${"x".repeat(255)}`,
];
const MODES = [
  0, 1, 2, 3, 8, 64, 0o100, 0o1000, 0o2000, 4096, 65536, 0o100644, 0o106755, 0o020666, 0o010600, 0o140777,
];
/** FS_IOC_GETFLAGS, FS_IOC_GETVERSION, FS_IOC_FSGETXATTR: a test that makes files immutable cannot remove them. */
const COMMANDS = [0x8008_6601, 0x8008_7601, 0x801c_581f];
const LENGTH_MAX_BYTES = 1 << 20;
const IOCTL_OUT_BYTES = 16;
const RANGE_SHIFT = 21n;

/** The arguments of a request, drawn from what the guest was given and from what it was not. */
export function requestParts(
  name: OpcodeName,
  decisions: Decisions,
  nodes: readonly bigint[],
  handles: readonly bigint[],
): Uint8Array[] {
  return [...shapes[name]].map((kind): Uint8Array => {
    switch (kind) {
      case "n":
        return decisions.happens(8) ? decisions.take(decisions.below(300)) : cstring(decisions.pick(NAMES));
      case "x":
        return cstring(decisions.pick(ATTRIBUTES));
      case "N":
        return u64(decisions.pick(nodes));
      case "h":
        return u64(decisions.happens(24) ? decisions.number64() : decisions.pick(handles));
      case "l":
        return u64(
          decisions.happens(16) ? decisions.number64() : BigInt(decisions.number32() % LENGTH_MAX_BYTES),
        );
      case "r":
        return u64(decisions.number64() << RANGE_SHIFT);
      case "c":
        return u32(decisions.happens(64) ? decisions.number32() & 0xffff : decisions.pick(COMMANDS));
      case "q":
        return u64(decisions.number64());
      case "b":
        return decisions.take(decisions.below(512));
      default:
        return u32(decisions.happens(64) ? decisions.pick(MODES) : decisions.number32());
    }
  });
}

/** Where READ, READDIR and their like say how much they have room for. */
export function askedBytes(name: OpcodeName, request: Buffer): number {
  // struct fuse_ioctl_out, and as much of the argument as is asked for.
  if (name === "IOCTL") return IOCTL_OUT_BYTES + request.readUInt32LE(IN_HEADER_BYTES + 28);
  const offset = { READ: 16, READDIR: 16, READDIRPLUS: 16, GETXATTR: 0, LISTXATTR: 0 }[name as string];
  if (offset === undefined) return Number.POSITIVE_INFINITY;
  // Asked for nothing, GETXATTR and LISTXATTR tell the size.
  return Math.max(request.readUInt32LE(IN_HEADER_BYTES + offset), offset === 0 ? 8 : 0);
}
