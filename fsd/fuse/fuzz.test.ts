import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { openDescriptors } from "../../lib/sys/testing/open-descriptors.js";
import { BufferSegments } from "../testing/buffer-segments.js";
import { type Fixture, serveDirectory } from "../testing/fixture.js";
import { RecordedWindow } from "../testing/recorded-window.js";
import { checkReply } from "../testing/reply-rules.js";
import { cstring, u32, u64 } from "../testing/test-guest.js";
import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from "./constants.js";

const RUNS = 400;

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
  return openDescriptors().filter(
    (path) => path.startsWith(outside) && path !== dir && !path.startsWith(`${dir}/`),
  );
}

/**
 * The arguments of each request: n name, N node id, h file handle, w 32 bits, q 64 bits, l a length that the disk can bear, r a place in
 * the DAX window, x an attribute's name, b bytes.
 */
const shapes: Readonly<Record<keyof typeof Opcode, string>> = {
  LOOKUP: "n",
  FORGET: "q",
  GETATTR: "wwh",
  SETATTR: "wwhqqqqqwwwwwwww",
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
  WRITE: "hqwwqwwb",
  STATFS: "",
  RELEASE: "hwwq",
  FSYNC: "hww",
  SETXATTR: "wwxb",
  GETXATTR: "wwx",
  LISTXATTR: "ww",
  REMOVEXATTR: "x",
  FLUSH: "hqq",
  INIT: "wwwww",
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
  COPY_FILE_RANGE: "hqNhqqq",
  SETUPMAPPING: "qrrwwr",
  REMOVEMAPPING: "wrr",
  SYNCFS: "q",
  TMPFILE: "wwwwn",
  GETLK: "hqqqwwww",
  SETLK: "hqqqwwww",
  SETLKW: "hqqqwwww",
  BMAP: "qww",
  IOCTL: "hwwqwwb",
  POLL: "hqww",
  NOTIFY_REPLY: "qqwwqq",
  STATX: "wwhww",
  COPY_FILE_RANGE_64: "hqNhqqq",
};

const names = [
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
];
const attributes = [
  "user.a",
  "trusted.overlay.opaque",
  "security.capability",
  "nonsense",
  "",
  `user.${"x".repeat(255)}`,
];
const small = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 4 }) },
  { weight: 3, arbitrary: fc.constantFrom(8, 64, 0o100, 0o1000, 4096, 65536, 0o100644, 0o020666, 0o010600) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff_ffff }) },
);

const request = fc.record({
  operation: fc.constantFrom(...(Object.keys(shapes) as (keyof typeof Opcode)[])),
  node: fc.nat(30),
  uid: fc.constantFrom(0, 0, 1000, 0xffff_ffff),
  values: fc.array(small, { minLength: 20, maxLength: 20 }),
  bytes: fc.uint8Array({ maxLength: 100 }),
  /** Added to the length that the header tells, and cut off the request. */
  lie: fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, fc.integer({ min: -60, max: 60 })),
  missing: fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 60 })),
  cuts: fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 5 }),
  room: fc.oneof(
    { weight: 4, arbitrary: fc.constant(4096) },
    fc.constantFrom(0, 8, 16, 32, 144, 160, 300, 70_000),
  ),
});
type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

/** A guest that picks from what it was given before: node ids and handles of earlier replies. */
class Session {
  readonly nodes = [1n];
  readonly handles: bigint[] = [];
  unique = 0n;

  constructor(
    readonly fixture: Fixture,
    readOnly: boolean,
  ) {
    const { guest, dir } = fixture;
    this.handles.push(guest.opendir(1n));
    for (const name of readdirSync(dir)) {
      const { nodeId, attr } = guest.lookup(1n, name);
      this.nodes.push(nodeId);
      if ((attr.mode & 0o170000) === 0o100000) this.handles.push(guest.open(nodeId, readOnly ? 0 : 2));
    }
  }

  build({ operation, node, uid, values, bytes, lie, missing }: Request): Buffer {
    const parts = [...shapes[operation]].map((kind, index): Uint8Array => {
      const value = values[index] ?? 0;
      if (kind === "w") return u32(value);
      if (kind === "q") return u64(BigInt(value));
      if (kind === "l") return u64(BigInt(value & 0xf_ffff));
      if (kind === "r") return u64(BigInt(value) << 21n);
      if (kind === "N") return u64(this.nodes[value % this.nodes.length] ?? 0n);
      if (kind === "h") return u64(this.handles[value % this.handles.length] ?? 0n);
      if (kind === "n") return cstring(names[value % names.length] ?? "");
      return kind === "x" ? cstring(attributes[value % attributes.length] ?? "") : bytes;
    });
    const whole = Buffer.concat([Buffer.alloc(IN_HEADER_BYTES), ...parts]);
    const request = whole.subarray(0, Math.max(IN_HEADER_BYTES, whole.length - missing));
    request.writeUInt32LE(Math.max(0, request.length + lie), 0);
    request.writeUInt32LE(Opcode[operation], 4);
    request.writeBigUInt64LE(++this.unique, 8);
    request.writeBigUInt64LE(this.nodes[node % this.nodes.length] ?? 0n, 16);
    request.writeUInt32LE(uid, 24);
    return request;
  }

  send(made: Request): void {
    const { operation, cuts, room } = made;
    const writable = BufferSegments.cut(Buffer.alloc(room, 0xee), cuts);
    const bytes = this.build(made);
    const readable = BufferSegments.cut(bytes, cuts);
    const written = this.fixture.guest.server.handle(1, 0, readable, writable);
    if (written === -1) {
      assert.equal(operation, "SETLKW");
      return;
    }
    assert.ok(written >= 0 && written <= room);
    if (written === 0) return;
    const reply = writable.bytes();
    checkReply(bytes, room, reply.subarray(0, written));
    const error = reply.readInt32LE(4);
    assert.ok(
      reply.subarray(written).every((byte) => byte === 0xee),
      "nothing is written behind the reply",
    );
    if (error === 0) this.#learn(operation, reply.subarray(OUT_HEADER_BYTES, written));
  }

  #learn(operation: keyof typeof Opcode, body: Buffer): void {
    if (body.length >= 128 && operation !== "READ" && !operation.startsWith("READDIR")) {
      this.nodes.push(body.readBigUInt64LE(0));
    }
    if (operation === "CREATE" || operation === "TMPFILE") this.handles.push(body.readBigUInt64LE(128));
    if (operation === "OPEN" || operation === "OPENDIR") this.handles.push(body.readBigUInt64LE(0));
  }
}

for (const readOnly of [false, true]) {
  test(`no request throws, answers wrongly or reaches outside (${readOnly ? "read-only" : "writable"})`, (t) => {
    const fixture = serve(t, readOnly);
    const { guest, metrics } = fixture;
    const before = snapshot(fixture.outside);
    const inside = readOnly ? readdirSync(fixture.dir) : undefined;
    const property = fc.property(fc.array(request, { minLength: 1, maxLength: 40 }), (requests) => {
      guest.init();
      const session = new Session(fixture, readOnly);
      for (const made of requests) session.send(made);
    });
    fc.assert(property, { numRuns: RUNS });
    assert.deepEqual(snapshot(fixture.outside), before);
    assert.deepEqual(strayDescriptors(fixture), []);
    assert.deepEqual(fixture.errors, [], "nothing was thrown inside");
    if (inside !== undefined) assert.deepEqual(readdirSync(fixture.dir), inside);
    guest.server.reset();
    assert.deepEqual([metrics.inodesLive, metrics.handlesLive, metrics.daxMapsLive], [0, 0, 0]);
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
