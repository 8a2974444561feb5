import assert from "node:assert/strict";
import { errnoName } from "../../lib/sys/errno.js";
import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from "../fuse/constants.js";
import type { FuseServer } from "../fuse/fuse-server.js";
import { BufferSegments } from "./buffer-segments.js";
import { checkReply } from "./reply-rules.js";

export interface Reply {
  /** "" or the name of the errno. */
  readonly error: string;
  readonly body: Buffer;
}

export interface Entry {
  readonly nodeId: bigint;
  readonly entryValid: number;
  readonly attrValid: number;
  readonly attr: Attr;
}

export interface Attr {
  readonly ino: bigint;
  readonly size: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly mtimeMs: number;
  readonly flags: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly ino: bigint;
  readonly offset: bigint;
  readonly type: number;
  /** Node id, with READDIRPLUS. */
  readonly nodeId: bigint;
}

export const ROOT = 1n;

/** What a test's guest needs of a server, or of a device. */
export type GuestSide = Pick<FuseServer, "handle" | "reset" | "close">;

/**
 * The guest's side of FUSE, for tests: builds requests, checks replies by the rules of the Linux 7.3 driver, and reads the structures by
 * offsets of its own.
 */
export class TestGuest {
  #unique = 1n;
  uid = 0;
  gid = 0;
  /** The thread that asks. */
  pid = 100;
  /** What stands behind the arguments of each request; a multiple of 8 bytes. */
  extensions: Buffer = Buffer.alloc(0);

  constructor(readonly server: GuestSide) {}

  /** Sends one request of `parts` and takes the reply, `room` bytes at most behind the header. */
  send(opcode: number, nodeId: bigint, parts: readonly Uint8Array[], room = 4096): Reply {
    const unique = ++this.#unique;
    const body = Buffer.concat([...parts, this.extensions]);
    const header = Buffer.alloc(IN_HEADER_BYTES);
    header.writeUInt32LE(IN_HEADER_BYTES + body.length, 0);
    header.writeUInt32LE(opcode, 4);
    header.writeBigUInt64LE(unique, 8);
    header.writeBigUInt64LE(nodeId, 16);
    header.writeUInt32LE(this.uid, 24);
    header.writeUInt32LE(this.gid, 28);
    header.writeUInt32LE(this.pid, 32);
    header.writeUInt16LE(this.extensions.length / 8, 36);
    const readable = new BufferSegments([header, body].filter((part) => part.length > 0));
    const half = Math.ceil(room / 2);
    const writable = new BufferSegments([
      Buffer.alloc(OUT_HEADER_BYTES),
      Buffer.alloc(half),
      Buffer.alloc(room - half),
    ]);
    const written = this.server.handle(1, 0, readable, writable);
    const reply = writable.bytes().subarray(0, written);
    assert.ok(written >= OUT_HEADER_BYTES, `opcode ${opcode}: a reply of ${written} bytes`);
    checkReply(Buffer.concat([header, body]), OUT_HEADER_BYTES + room, reply);
    const error = reply.readInt32LE(4);
    return {
      error: error === 0 ? "" : errnoName(-error),
      body: Buffer.from(reply.subarray(OUT_HEADER_BYTES)),
    };
  }

  /** Like {@link send}, for requests that must succeed. */
  call(opcode: number, nodeId: bigint, parts: readonly Uint8Array[], room = 4096): Buffer {
    const reply = this.send(opcode, nodeId, parts, room);
    assert.equal(reply.error, "", `opcode ${opcode}`);
    return reply.body;
  }

  init(flags = 0xffff_ffff, flags2 = 0xffff_ffff): Buffer {
    return this.call(Opcode.INIT, 0n, [u32(7, 46, 131072, flags, flags2), Buffer.alloc(44)]);
  }

  lookup(parent: bigint, name: string): Entry {
    return readEntry(this.call(Opcode.LOOKUP, parent, [cstring(name)]));
  }

  /** Looks up a path below the root, component by component. */
  walk(path: string): Entry {
    let entry: Entry | undefined;
    for (const name of path.split("/")) entry = this.lookup(entry?.nodeId ?? ROOT, name);
    assert.ok(entry);
    return entry;
  }

  getattr(nodeId: bigint): Attr {
    return readAttr(this.call(Opcode.GETATTR, nodeId, [Buffer.alloc(16)]), 16);
  }

  open(nodeId: bigint, flags = 0): bigint {
    return this.call(Opcode.OPEN, nodeId, [u32(flags, 0)]).readBigUInt64LE(0);
  }

  create(parent: bigint, name: string, flags: number, mode: number, umask = 0): { entry: Entry; fh: bigint } {
    const body = this.call(Opcode.CREATE, parent, [u32(flags, mode, umask, 0), cstring(name)]);
    assert.equal(body.length, 128 + 16);
    return { entry: readEntry(body), fh: body.readBigUInt64LE(128) };
  }

  read(nodeId: bigint, fh: bigint, offset: number, size: number): Buffer {
    return this.call(Opcode.READ, nodeId, [u64(fh, BigInt(offset)), u32(size, 0), u64(0n), u32(0, 0)], size);
  }

  /** @param openFlags of the file, as the guest's open(2) had them */
  write(nodeId: bigint, fh: bigint, offset: number, data: Uint8Array, flags = 0, openFlags = 0): Reply {
    const head = [u64(fh, BigInt(offset)), u32(data.length, flags), u64(0n), u32(openFlags, 0)];
    return this.send(Opcode.WRITE, nodeId, [...head, data]);
  }

  release(nodeId: bigint, fh: bigint): void {
    this.call(Opcode.RELEASE, nodeId, [u64(fh), u32(0, 0), u64(0n)]);
  }

  opendir(nodeId: bigint): bigint {
    return this.call(Opcode.OPENDIR, nodeId, [u32(0, 0)]).readBigUInt64LE(0);
  }

  readdir(nodeId: bigint, fh: bigint, offset: bigint, size: number, plus: boolean): DirectoryEntry[] {
    const opcode = plus ? Opcode.READDIRPLUS : Opcode.READDIR;
    const body = this.call(opcode, nodeId, [u64(fh, offset), u32(size, 0), u64(0n), u32(0, 0)], size);
    const entries: DirectoryEntry[] = [];
    const before = plus ? 128 : 0;
    for (let at = 0; at < body.length; ) {
      const dirent = at + before;
      const nameLength = body.readUInt32LE(dirent + 16);
      entries.push({
        ino: body.readBigUInt64LE(dirent),
        offset: body.readBigUInt64LE(dirent + 8),
        type: body.readUInt32LE(dirent + 20),
        name: body.toString("utf8", dirent + 24, dirent + 24 + nameLength),
        nodeId: plus ? body.readBigUInt64LE(at) : 0n,
      });
      at += (before + 24 + nameLength + 7) & ~7;
    }
    return entries;
  }

  /** Reads a whole directory. */
  list(nodeId: bigint, size = 4096, plus = false): DirectoryEntry[] {
    const fh = this.opendir(nodeId);
    const all: DirectoryEntry[] = [];
    for (;;) {
      const some = this.readdir(nodeId, fh, all.at(-1)?.offset ?? 0n, size, plus);
      if (some.length === 0) break;
      all.push(...some);
    }
    this.call(Opcode.RELEASEDIR, nodeId, [u64(fh), u32(0, 0), u64(0n)]);
    return all;
  }

  forget(nodeId: bigint, count: bigint): void {
    const header = Buffer.alloc(IN_HEADER_BYTES);
    header.writeUInt32LE(IN_HEADER_BYTES + 8, 0);
    header.writeUInt32LE(Opcode.FORGET, 4);
    header.writeBigUInt64LE(++this.#unique, 8);
    header.writeBigUInt64LE(nodeId, 16);
    const written = this.server.handle(
      0,
      0,
      new BufferSegments([header, u64(count)]),
      new BufferSegments([]),
    );
    assert.equal(written, 0, "FORGET has no reply");
  }
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, 4 * index);
  return bytes;
}

export function u64(...values: bigint[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(BigInt.asUintN(64, value), 8 * index);
  return bytes;
}

export function cstring(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

export function readEntry(body: Buffer): Entry {
  assert.ok(body.length >= 128);
  return {
    nodeId: body.readBigUInt64LE(0),
    entryValid: Number(body.readBigUInt64LE(16)) + body.readUInt32LE(32) / 1e9,
    attrValid: Number(body.readBigUInt64LE(24)) + body.readUInt32LE(36) / 1e9,
    attr: readAttr(body, 40),
  };
}

export function readAttr(body: Buffer, offset: number): Attr {
  return {
    ino: body.readBigUInt64LE(offset),
    size: Number(body.readBigUInt64LE(offset + 8)),
    mtimeMs: Number(body.readBigInt64LE(offset + 32)) * 1000 + body.readUInt32LE(offset + 52) / 1e6,
    mode: body.readUInt32LE(offset + 60),
    nlink: body.readUInt32LE(offset + 64),
    uid: body.readUInt32LE(offset + 68),
    gid: body.readUInt32LE(offset + 72),
    rdev: body.readUInt32LE(offset + 76),
    flags: body.readUInt32LE(offset + 84),
  };
}
