import assert from "node:assert/strict";
import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from "../fuse/constants.js";

/** Linux's ERESTARTSYS: no error on the wire reaches it. */
const ERRORS_END = 512;

const ENTRY = 128;
const ATTR = 104;
const OPEN = 16;
const NOTHING = 0;

/** Bytes of the answer's body: exactly so many, or at most as many as the request has room for. */
type BodyRule = number | "variable" | ((request: Buffer) => number | "variable");

/** The first argument of GETXATTR and LISTXATTR is the room for the value; without any, only its size is asked for. */
const sizeOrValue = (request: Buffer) =>
  request.length >= IN_HEADER_BYTES + 4 && request.readUInt32LE(IN_HEADER_BYTES) > 0 ? "variable" : 8;

/** What the Linux driver has room for, by operation: `out_args` in fs/fuse. */
const bodies: Readonly<Partial<Record<keyof typeof Opcode, BodyRule>>> = {
  LOOKUP: ENTRY,
  GETATTR: ATTR,
  SETATTR: ATTR,
  READLINK: "variable",
  SYMLINK: ENTRY,
  MKNOD: ENTRY,
  MKDIR: ENTRY,
  UNLINK: NOTHING,
  RMDIR: NOTHING,
  RENAME: NOTHING,
  LINK: ENTRY,
  OPEN,
  READ: "variable",
  WRITE: 8,
  STATFS: 80,
  RELEASE: NOTHING,
  FSYNC: NOTHING,
  SETXATTR: NOTHING,
  GETXATTR: sizeOrValue,
  LISTXATTR: sizeOrValue,
  REMOVEXATTR: NOTHING,
  FLUSH: NOTHING,
  INIT: "variable",
  OPENDIR: OPEN,
  READDIR: "variable",
  RELEASEDIR: NOTHING,
  FSYNCDIR: NOTHING,
  GETLK: 24,
  SETLK: NOTHING,
  SETLKW: NOTHING,
  ACCESS: NOTHING,
  CREATE: ENTRY + OPEN,
  BMAP: 8,
  DESTROY: NOTHING,
  IOCTL: "variable",
  POLL: 8,
  FALLOCATE: NOTHING,
  READDIRPLUS: "variable",
  RENAME2: NOTHING,
  LSEEK: 8,
  COPY_FILE_RANGE: 8,
  SETUPMAPPING: NOTHING,
  REMOVEMAPPING: NOTHING,
  SYNCFS: NOTHING,
  TMPFILE: ENTRY + OPEN,
  STATX: 288,
  COPY_FILE_RANGE_64: 8,
};

const namesByOpcode = new Map(Object.entries(Opcode).map(([name, opcode]) => [opcode as number, name]));

/**
 * Asserts that an answer is one that Linux 7.3 takes (virtio_fs_verify_response in fs/fuse/virtio_fs.c); it makes EIO of all others.
 * @param request with its header
 * @param room what the driver has put up for the answer, header included
 * @param reply as many bytes as the used ring tells
 */
export function checkReply(request: Buffer, room: number, reply: Buffer): void {
  const opcode = request.readUInt32LE(4);
  const name = namesByOpcode.get(opcode) ?? `opcode ${opcode}`;
  if (opcode === Opcode.FORGET || opcode === Opcode.BATCH_FORGET) {
    assert.equal(reply.length, 0, `${name} has no answer`);
    return;
  }
  assert.ok(reply.length >= OUT_HEADER_BYTES, `${name}: an answer of ${reply.length} bytes`);
  assert.ok(reply.length <= room, `${name}: an answer of ${reply.length} bytes where ${room} fit`);
  assert.equal(reply.readUInt32LE(0), reply.length, `${name}: the header tells the answer's length`);
  assert.equal(reply.readBigUInt64LE(8), request.readBigUInt64LE(8), `${name}: unique comes back`);
  const error = reply.readInt32LE(4);
  assert.ok(error <= 0 && error > -ERRORS_END, `${name}: error ${error}`);
  const bodyBytes = reply.length - OUT_HEADER_BYTES;
  if (error !== 0) {
    assert.equal(bodyBytes, 0, `${name}: an error has no body`);
    return;
  }
  const rule = bodies[name as keyof typeof Opcode];
  assert.ok(rule !== undefined, `${name}: answered with success, and has no rule`);
  const expected = typeof rule === "function" ? rule(request) : rule;
  if (expected !== "variable") assert.equal(bodyBytes, expected, `${name}: bytes of the body`);
}
