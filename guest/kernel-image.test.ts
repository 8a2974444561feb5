import assert from "node:assert/strict";
import { test } from "node:test";
import { zstdPayload } from "./kernel-image.js";

const FRAME = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3, 4]);

/** An image with two setup sectors, and `payload` 100 bytes into what follows them. */
function image(payload: Buffer): Buffer {
  const result = Buffer.alloc(3 * 512 + 100 + payload.length + 4 + 50);
  result.writeUInt8(2, 0x1f1);
  result.write("HdrS", 0x202);
  result.writeUInt32LE(100, 0x248);
  result.writeUInt32LE(payload.length + 4, 0x24c);
  payload.copy(result, 3 * 512 + 100);
  return result;
}

test("the zstd frame is found without the length behind it", () => {
  assert.deepEqual(zstdPayload(image(FRAME)), FRAME);
});

test("other compressions, other files and lies about lengths are left alone", () => {
  assert.equal(zstdPayload(image(Buffer.from("\x1f\x8b gzip"))), undefined);
  assert.equal(zstdPayload(Buffer.from("\x7fELF")), undefined);
  assert.equal(zstdPayload(Buffer.alloc(4096)), undefined);
  const lying = image(FRAME);
  lying.writeUInt32LE(0xffff_ffff, 0x24c);
  assert.equal(zstdPayload(lying), undefined);
  lying.writeUInt32LE(2, 0x24c);
  assert.equal(zstdPayload(lying), undefined);
});
