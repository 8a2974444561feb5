import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeReplay, encodeReplay, ReplayKind } from "./replay.js";

const bytes = fc.array(
  fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f),
  { maxLength: 255 },
);
const name = bytes
  .map((codes) => String.fromCharCode(...codes))
  .filter((text) => text !== "." && text !== "..");

test("an announcement comes back as it was, whatever bytes a name has", () => {
  const replay = fc.record({
    kind: fc.constantFrom(...Object.values(ReplayKind)),
    nodeId: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    type: fc.integer({ min: 0, max: 0xffff_ffff }),
    name,
    oldName: name,
  });
  fc.assert(
    fc.property(replay, (given) => assert.deepEqual(decodeReplay(encodeReplay(given)), { ...given })),
  );
});

test("anything else is no announcement", () => {
  const good = encodeReplay({ kind: ReplayKind.rename, nodeId: 5n, type: 0, name: "a", oldName: "b" });
  assert.equal(decodeReplay(good.subarray(0, good.length - 1)), undefined);
  assert.equal(decodeReplay(Buffer.concat([good, Buffer.of(0)])), undefined);
  assert.equal(decodeReplay(Buffer.from(good).fill(99, 0, 1)), undefined);
  for (const wrong of ["a/b", ".", "..", "x".repeat(256)]) {
    const head = good.subarray(0, 16);
    assert.equal(decodeReplay(Buffer.concat([head, Buffer.from(`${wrong}\0b\0`)])), undefined, wrong);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => void decodeReplay(Buffer.from(noise))));
});
