import { IN_HEADER_BYTES, type Opcode, OUT_HEADER_BYTES } from "../../fsd/fuse/constants.js";
import { cstring, u32, u64 } from "../../fsd/testing/test-guest.js";
import type { Decisions } from "../decisions.js";

export type OpcodeName = keyof typeof Opcode;

interface Shape {
  /**
   * The arguments: n name, N node id, h file handle, w 32 bits, q 64 bits, l a length that the disk can bear, r a place in the DAX window,
   * x an attribute's name, b bytes.
   */
  readonly arguments: string;
  /** Bytes of a successful reply behind the header; or the one that tells the largest size. */
  readonly reply: number | "any" | "none" | "size-at-16" | "size-at-0-or-8";
}

const ENTRY = 128;
const ATTR = 104;

const shapes: Readonly<Record<OpcodeName, Shape>> = {
  LOOKUP: { arguments: "n", reply: ENTRY },
  FORGET: { arguments: "q", reply: "none" },
  GETATTR: { arguments: "wwh", reply: ATTR },
  SETATTR: { arguments: "wwhlqqqqwwwwwwww", reply: ATTR },
  READLINK: { arguments: "", reply: "any" },
  SYMLINK: { arguments: "nn", reply: ENTRY },
  MKNOD: { arguments: "wwwwn", reply: ENTRY },
  MKDIR: { arguments: "wwn", reply: ENTRY },
  UNLINK: { arguments: "n", reply: 0 },
  RMDIR: { arguments: "n", reply: 0 },
  RENAME: { arguments: "Nnn", reply: 0 },
  LINK: { arguments: "Nn", reply: ENTRY },
  OPEN: { arguments: "ww", reply: 16 },
  READ: { arguments: "hqwwqww", reply: "size-at-16" },
  WRITE: { arguments: "hlwwqwwb", reply: 8 },
  STATFS: { arguments: "", reply: 80 },
  RELEASE: { arguments: "hwwq", reply: 0 },
  FSYNC: { arguments: "hww", reply: 0 },
  SETXATTR: { arguments: "wwxb", reply: 0 },
  GETXATTR: { arguments: "wwx", reply: "size-at-0-or-8" },
  LISTXATTR: { arguments: "ww", reply: "size-at-0-or-8" },
  REMOVEXATTR: { arguments: "x", reply: 0 },
  FLUSH: { arguments: "hwwq", reply: 0 },
  INIT: { arguments: "wwwwwwwwwwwwwwww", reply: "any" },
  OPENDIR: { arguments: "ww", reply: 16 },
  READDIR: { arguments: "hqwwqww", reply: "size-at-16" },
  RELEASEDIR: { arguments: "hwwq", reply: 0 },
  FSYNCDIR: { arguments: "hww", reply: 0 },
  ACCESS: { arguments: "ww", reply: 0 },
  CREATE: { arguments: "wwwwn", reply: ENTRY + 16 },
  INTERRUPT: { arguments: "q", reply: 0 },
  DESTROY: { arguments: "", reply: 0 },
  BATCH_FORGET: { arguments: "wwNqNq", reply: "none" },
  FALLOCATE: { arguments: "hllww", reply: 0 },
  READDIRPLUS: { arguments: "hqwwqww", reply: "size-at-16" },
  RENAME2: { arguments: "Nwwnn", reply: 0 },
  LSEEK: { arguments: "hqww", reply: 8 },
  COPY_FILE_RANGE: { arguments: "hlNhllq", reply: 8 },
  SETUPMAPPING: { arguments: "qrrwwr", reply: 0 },
  REMOVEMAPPING: { arguments: "wrr", reply: 0 },
  SYNCFS: { arguments: "q", reply: 0 },
  TMPFILE: { arguments: "wwwwn", reply: ENTRY + 16 },
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
const LENGTH_MAX_BYTES = 1 << 20;
const RANGE_SHIFT = 21n;

/** The arguments of a request, drawn from what the guest was given and from what it was not. */
export function requestParts(
  name: OpcodeName,
  decisions: Decisions,
  nodes: readonly bigint[],
  handles: readonly bigint[],
): Uint8Array[] {
  return [...shapes[name].arguments].map((kind): Uint8Array => {
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
      case "q":
        return u64(decisions.number64());
      case "b":
        return decisions.take(decisions.below(512));
      default:
        return u32(decisions.happens(64) ? decisions.pick(MODES) : decisions.number32());
    }
  });
}

/** Whether a reply may have a body of `length` bytes: exactly the structure's, or up to what the request had room for. */
export function bodyFits(name: OpcodeName, request: Buffer, length: number, room: number): boolean {
  const { reply } = shapes[name];
  if (typeof reply === "number") return length === reply;
  if (reply === "none") return false;
  if (reply === "any") return length + OUT_HEADER_BYTES <= room;
  const size = request.readUInt32LE(IN_HEADER_BYTES + (reply === "size-at-16" ? 16 : 0));
  return reply === "size-at-0-or-8" && size === 0 ? length === 8 : length <= size;
}
