import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { BufferSegments } from "../testing/buffer-segments.js";
import { type Fixture, serveDirectory } from "../testing/fixture.js";
import { RecordedWindow } from "../testing/recorded-window.js";
import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from "./constants.js";

const RUNS = 1500;

/** A share with a canary beside it and links that lead to the canary. */
function serve(t: TestContext, readOnly: boolean): Fixture {
  return serveDirectory(t, { readOnly, dax: "inode", window: new RecordedWindow(1 << 24) }, (dir) => {
    writeFileSync(join(dir, "..", "canary"), "untouched", { mode: 0o640 });
    mkdirSync(join(dir, "..", "around"));
    symlinkSync("../canary", join(dir, "a"));
    symlinkSync("../around", join(dir, "b"));
    symlinkSync("..", join(dir, "c"));
    mkdirSync(join(dir, "d"));
    writeFileSync(join(dir, "d", "e"), "x");
    writeFileSync(join(dir, "f"), Buffer.alloc(70_000));
  });
}

function snapshot(outside: string): unknown {
  const canary = lstatSync(join(outside, "canary"));
  return {
    names: readdirSync(outside)
      .filter((name) => !name.startsWith("share-"))
      .sort(),
    around: readdirSync(join(outside, "around")),
    content: readFileSync(join(outside, "canary"), "latin1"),
    attributes: [
      canary.mode,
      canary.uid,
      canary.gid,
      canary.nlink,
      canary.size,
      canary.mtimeMs,
      canary.ctimeMs,
    ],
  };
}

/** Descriptors of the process that refer to something of the test's directory, but not of the share. */
function strayDescriptors({ dir, outside }: Fixture): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(outside) && path !== dir && !path.startsWith(`${dir}/`) ? [path] : [];
    } catch {
      return []; // The descriptor that the listing itself used.
    }
  });
}

const name = fc.constantFrom(
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
  "../canary",
  "/etc/passwd",
  "a/b",
  "",
  "x".repeat(300),
);
const small = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 12 }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(4096, 65536, 0o100644, 0o040755, 0o020666, 0o010600, 0x1000, 1 << 21),
  },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff_ffff }) },
);
/** Words and names as they stand in arguments, in any order. */
const argument = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.array(small, { maxLength: 24 }).map((words) => Buffer.from(Uint32Array.from(words).buffer)),
  },
  { weight: 3, arbitrary: name.map((text) => Buffer.from(`${text}\0`)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
);
const opcode = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.constantFrom(...Object.values(Opcode).filter((value) => value !== Opcode.DESTROY)),
  },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 80 }) },
);
const request = fc.record({
  opcode,
  nodeId: fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 0, max: 12 }) },
    fc.integer({ min: 0, max: 0xffff_ffff }),
  ),
  nodeIdHigh: fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 3 })),
  uid: fc.constantFrom(0, 0, 1000, 0xffff_ffff),
  body: fc.array(argument, { maxLength: 4 }).map((parts) => Buffer.concat(parts)),
  /** Added to the length that the header tells. */
  lie: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, fc.integer({ min: -60, max: 60 })),
  cuts: fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 5 }),
  room: fc.oneof(fc.constantFrom(0, 8, 16, 32, 144, 160, 4096, 70_000), fc.integer({ min: 0, max: 300 })),
});

for (const readOnly of [false, true]) {
  test(`no request throws, answers wrongly or reaches outside (${readOnly ? "read-only" : "writable"})`, (t) => {
    const fixture = serve(t, readOnly);
    const { server } = fixture.guest;
    const before = snapshot(fixture.outside);
    const inside = readOnly ? readdirSync(fixture.dir) : undefined;
    let unique = 0n;
    const property = fc.property(fc.array(request, { minLength: 1, maxLength: 12 }), (requests) => {
      for (const { opcode, nodeId, nodeIdHigh, uid, body, lie, cuts, room } of requests) {
        const bytes = Buffer.concat([Buffer.alloc(IN_HEADER_BYTES), body]);
        bytes.writeUInt32LE(Math.max(0, bytes.length + lie), 0);
        bytes.writeUInt32LE(opcode, 4);
        bytes.writeBigUInt64LE(++unique, 8);
        bytes.writeUInt32LE(nodeId, 16);
        bytes.writeUInt32LE(nodeIdHigh, 20);
        bytes.writeUInt32LE(uid, 24);
        const writable = BufferSegments.cut(Buffer.alloc(room, 0xee), cuts);
        const written = server.handle(1, 0, BufferSegments.cut(bytes, cuts), writable);
        assert.ok(written >= 0 && written <= room);
        if (written > 0) {
          const reply = writable.bytes();
          assert.ok(written >= OUT_HEADER_BYTES);
          assert.equal(reply.readUInt32LE(0), written);
          assert.equal(reply.readBigUInt64LE(8), unique);
          const error = reply.readInt32LE(4);
          assert.ok(error <= 0 && error > -512 && (error === 0 || written === OUT_HEADER_BYTES));
          assert.ok(
            reply.subarray(written).every((byte) => byte === 0xee),
            "nothing is written behind the reply",
          );
        }
      }
    });
    fc.assert(property, { numRuns: RUNS });
    assert.deepEqual(snapshot(fixture.outside), before);
    assert.deepEqual(strayDescriptors(fixture), []);
    assert.deepEqual(fixture.errors, [], "nothing was thrown inside");
    if (inside !== undefined) assert.deepEqual(readdirSync(fixture.dir), inside);
    assert.ok(existsSync("/etc/passwd"));
  });
}

test("bytes without any form", (t) => {
  const fixture = serve(t, false);
  const property = fc.property(
    fc.uint8Array({ maxLength: 300 }),
    fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 5 }),
    fc.integer({ min: 0, max: 200 }),
    (bytes, cuts, room) => {
      const writable = BufferSegments.cut(Buffer.alloc(room), cuts);
      const written = fixture.guest.server.handle(0, 0, BufferSegments.cut(bytes, cuts), writable);
      assert.ok(written === 0 || (written >= OUT_HEADER_BYTES && written <= room));
    },
  );
  fc.assert(property, { numRuns: RUNS });
  assert.deepEqual(fixture.errors, []);
});
