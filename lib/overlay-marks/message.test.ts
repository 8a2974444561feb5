import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  MARK_PATH_MAX_BYTES,
  MARK_REQUEST_HEADER_BYTES,
  MarkOperation,
  MarkRequestError,
  readMarkRequest,
  writeMarkRequest,
} from "./message.js";

const NUMBER = 0x8000_0001;

function request(operation: MarkOperation, inodeLow: number, inodeHigh: number, path: Uint8Array): Buffer {
  const bytes = Buffer.alloc(MARK_REQUEST_HEADER_BYTES + path.length);
  bytes.set(path, MARK_REQUEST_HEADER_BYTES);
  writeMarkRequest(
    new DataView(bytes.buffer, bytes.byteOffset),
    operation,
    inodeLow,
    inodeHigh,
    NUMBER,
    path.length,
  );
  return bytes;
}

test("a request is read as it was written, from the start of what came in", () => {
  const bytes = request(MarkOperation.set, 7, 0xffff_ffff, Buffer.from("c1/upper/fs"));
  const read = readMarkRequest(Buffer.concat([bytes, Buffer.from("next")]));
  assert.ok(read);
  assert.deepEqual(
    { ...read, path: Buffer.from(read.path).toString() },
    {
      operation: 2,
      inodeLow: 7,
      inodeHigh: 0xffff_ffff,
      number: NUMBER,
      path: "c1/upper/fs",
      bytes: bytes.length,
    },
  );
});

test("less than a request is waited for", () => {
  const bytes = request(MarkOperation.read, 1, 0, Buffer.from("path"));
  for (let length = 0; length < bytes.length; length++)
    assert.equal(readMarkRequest(bytes.subarray(0, length)), undefined);
});

test("what is no request is told as such", () => {
  const good = request(MarkOperation.read, 1, 0, Buffer.from("path"));
  const changed = (offset: number, value: number) => {
    const bytes = Buffer.from(good);
    bytes[offset] = value;
    return bytes;
  };
  for (const bytes of [
    changed(0, 0),
    changed(0, 4),
    changed(1, 1),
    changed(2, 0),
    changed(MARK_REQUEST_HEADER_BYTES + 1, 0),
  ])
    assert.throws(() => readMarkRequest(bytes), MarkRequestError, bytes.toString("hex"));
  const long = request(MarkOperation.read, 1, 0, Buffer.alloc(MARK_PATH_MAX_BYTES + 1, "x"));
  assert.throws(() => readMarkRequest(long), MarkRequestError);
});

test("any bytes are a request, too few for one, or none", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        const read = readMarkRequest(bytes);
        if (read !== undefined) assert.ok(read.bytes <= bytes.length && !read.path.includes(0));
      } catch (error) {
        assert.ok(error instanceof MarkRequestError);
      }
    }),
  );
});
