import assert from "node:assert/strict";
import { test } from "node:test";
import { Errno } from "../../lib/sys/errno.js";
import { BufferSegments } from "../testing/buffer-segments.js";
import { IN_HEADER_BYTES, Opcode } from "./constants.js";
import { FuseRequest } from "./request.js";

const nothing = new BufferSegments([]);

/** struct fuse_in_header of `length` bytes for LOOKUP in node 0x1_00000002, by uid 3 and gid 4, then `body`. */
function bytesOf(body: string | Uint8Array, length?: number, opcode: number = Opcode.LOOKUP): Buffer {
  const tail = Buffer.from(body);
  const header = Buffer.from(
    "00000000 00000000 8877665544332211 0200000001000000 03000000 04000000 05000000 00000000".replaceAll(
      " ",
      "",
    ),
    "hex",
  );
  header.writeUInt32LE(length ?? header.length + tail.length, 0);
  header.writeUInt32LE(opcode, 4);
  return Buffer.concat([header, tail]);
}

test("the header is read field by field, wherever the segments are cut", () => {
  const bytes = bytesOf("name\0");
  for (let cut = 0; cut <= bytes.length; cut++) {
    const request = new FuseRequest();
    assert.equal(request.load(BufferSegments.cut(bytes, [cut, cut + 1]), nothing), 0);
    assert.equal(request.opcode, Opcode.LOOKUP);
    assert.equal(request.nodeIdLow, 2);
    assert.equal(request.nodeIdHigh, 1);
    assert.equal(request.uid, 3);
    assert.equal(request.gid, 4);
    assert.equal(request.uint64(16), 0x1_0000_0002);
    assert.equal(request.takeName(IN_HEADER_BYTES), request.address + IN_HEADER_BYTES);
    assert.equal(request.nameEnd, IN_HEADER_BYTES + 5);
  }
});

test("lengths that do not fit are refused", () => {
  const request = new FuseRequest();
  const load = (bytes: Uint8Array) => request.load(new BufferSegments([bytes]), nothing);
  assert.equal(load(Buffer.alloc(0)), -Errno.EINVAL);
  assert.equal(load(bytesOf("").subarray(0, 39)), -Errno.EINVAL);
  assert.equal(load(bytesOf("name\0", 39)), -Errno.EINVAL);
  assert.equal(load(bytesOf("name\0", 46)), -Errno.EINVAL, "longer than the descriptors");
  assert.equal(load(bytesOf("name\0", 44)), 0, "shorter is a request with something behind it");
  assert.equal(request.takeName(IN_HEADER_BYTES), -Errno.EINVAL, "whose name does not end inside");
  assert.equal(load(bytesOf(Buffer.alloc(200_000))), -Errno.E2BIG);
});

test("a long WRITE's payload stays where it is", () => {
  const request = new FuseRequest();
  assert.equal(
    request.load(new BufferSegments([bytesOf(Buffer.alloc(1 << 20), undefined, Opcode.WRITE)]), nothing),
    0,
  );
  assert.ok(request.has(IN_HEADER_BYTES + (1 << 20)));
});

test("names are one component", () => {
  const request = new FuseRequest();
  const take = (name: string) => {
    assert.equal(request.load(new BufferSegments([bytesOf(name)]), nothing), 0);
    const result = request.takeName(IN_HEADER_BYTES);
    return result < 0 ? -result : 0;
  };
  for (const good of ["a\0", "...\0", ".a\0", "..a\0", "a.\0", "ä\0", `${"x".repeat(255)}\0`, "a\0b/c\0"]) {
    assert.equal(take(good), 0, JSON.stringify(good));
  }
  for (const bad of ["\0", ".\0", "..\0", "/\0", "a/b\0", "/etc\0", "../x\0", "a/\0", "x", ""]) {
    assert.equal(take(bad), Errno.EINVAL, JSON.stringify(bad));
  }
  assert.equal(take(`${"x".repeat(256)}\0`), Errno.ENAMETOOLONG);
});
