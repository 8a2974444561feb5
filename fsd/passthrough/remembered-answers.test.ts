import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { FUSE_ATTR_SUBMOUNT, Opcode } from "../fuse/constants.js";
import { type Fixture, serveDirectory } from "../testing/fixture.js";
import { cstring, ROOT, u32, u64 } from "../testing/test-guest.js";
import type { ExportOption } from "./export-policy.js";

function serve(t: TestContext, option: Omit<ExportOption, "pattern">): Fixture {
  return serveDirectory(t, { exports: [{ pattern: [], ...option }] }, (dir) => {
    mkdirSync(join(dir, "sub"));
    writeFileSync(join(dir, "file"), "old");
  });
}

test("where nobody else changes anything answers come from memory, until the guest changes something", (t) => {
  const { guest, dir } = serve(t, { policy: "exclusive" });
  const { nodeId } = guest.lookup(ROOT, "file");
  guest.getattr(nodeId);
  const missing = () => guest.call(Opcode.LOOKUP, ROOT, [cstring("new")]).readBigUInt64LE(0);
  assert.equal(missing(), 0n);
  // No one may do this: it shows that nobody looks.
  writeFileSync(join(dir, "file"), "longer");
  writeFileSync(join(dir, "new"), "");
  assert.deepEqual([guest.getattr(nodeId).size, guest.lookup(ROOT, "file").attr.size, missing()], [3, 3, 0n]);
  guest.call(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring("made")]);
  assert.deepEqual([guest.getattr(nodeId).size, guest.lookup(ROOT, "file").attr.size], [6, 6]);
  assert.notEqual(missing(), 0n);
});

test("what never changes is remembered whatever else changes", (t) => {
  const { guest, dir } = serveDirectory(
    t,
    {
      exports: [
        { pattern: ["layer"], policy: "immutable" },
        { pattern: ["upper"], policy: "exclusive" },
      ],
    },
    (dir) => {
      for (const name of ["layer", "upper"]) mkdirSync(join(dir, name));
      writeFileSync(join(dir, "layer", "file"), "old");
    },
  );
  const { nodeId } = guest.walk("layer/file");
  writeFileSync(join(dir, "layer", "file"), "longer");
  guest.call(Opcode.MKDIR, guest.walk("upper").nodeId, [u32(0o755, 0), cstring("made")]);
  assert.equal(guest.getattr(nodeId).size, 3);
});

test("nothing is remembered where others change things, or where the guest shall ask again", (t) => {
  const options: Omit<ExportOption, "pattern">[] = [
    { policy: "shared" },
    { policy: "always" },
    { policy: "exclusive", attrSeconds: 1 },
    { policy: "immutable", entrySeconds: 60 },
  ];
  for (const option of options) {
    const { guest, dir } = serve(t, option);
    const { nodeId } = guest.lookup(ROOT, "file");
    guest.getattr(nodeId);
    writeFileSync(join(dir, "file"), "longer");
    assert.equal(guest.getattr(nodeId).size, 6, JSON.stringify(option));
    assert.equal(guest.lookup(ROOT, "file").attr.size, 6);
  }
});

test("a reference is counted for each answer, and what was forgotten is looked up anew", (t) => {
  const { guest, metrics } = serve(t, { policy: "exclusive" });
  const first = guest.lookup(ROOT, "file");
  assert.equal(guest.lookup(ROOT, "file").nodeId, first.nodeId);
  guest.forget(first.nodeId, 1n);
  assert.equal(guest.getattr(first.nodeId).size, 3, "the other reference");
  guest.forget(first.nodeId, 1n);
  assert.equal(metrics.inodesLive, 0);
  const again = guest.lookup(ROOT, "file");
  assert.notEqual(again.nodeId, first.nodeId);
  assert.equal(guest.send(Opcode.GETATTR, first.nodeId, [Buffer.alloc(16)]).error, "ESTALE");
});

test("a session that begins anew has nothing of the one before", (t) => {
  const { guest, dir, server } = serve(t, { policy: "immutable" });
  guest.getattr(guest.lookup(ROOT, "file").nodeId);
  server.reset();
  writeFileSync(join(dir, "file"), "longer");
  guest.init();
  assert.equal(guest.lookup(ROOT, "file").attr.size, 6);
});

test("reading a file changes the time of its last access", (t) => {
  const { guest, dir } = serve(t, { policy: "exclusive" });
  const { nodeId } = guest.lookup(ROOT, "file");
  const fh = guest.open(nodeId);
  const accessed = () =>
    guest.call(Opcode.GETATTR, nodeId, [Buffer.alloc(16)]).readBigUInt64LE(16 + 24) * 1_000_000_000n +
    BigInt(guest.call(Opcode.GETATTR, nodeId, [Buffer.alloc(16)]).readUInt32LE(16 + 48));
  const utime = Buffer.alloc(88);
  utime.writeUInt32LE(1 << 4, 0);
  guest.call(Opcode.SETATTR, nodeId, [utime]);
  assert.equal(accessed(), 0n);
  guest.read(nodeId, fh, 0, 3);
  assert.equal(accessed(), lstatSync(join(dir, "file"), { bigint: true }).atimeNs);
});

/** What a guest may do to three names in the root and a directory. */
const step = fc.record({
  action: fc.constantFrom(
    "create",
    "write",
    "truncate",
    "chmod",
    "unlink",
    "rename",
    "link",
    "mkdir",
    "xattr",
    "look",
  ),
  name: fc.constantFrom("a", "b", "c"),
  other: fc.constantFrom("a", "b", "c"),
  amount: fc.integer({ min: 0, max: 5000 }),
});

test("whatever the guest does, every answer is what the host says", (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const { guest, dir, server, outside } = serve(t, { policy: "exclusive" });
      for (const { action, name, other, amount } of steps) {
        const found = guest.send(Opcode.LOOKUP, ROOT, [cstring(name)]);
        const nodeId = found.body.length >= 8 ? found.body.readBigUInt64LE(0) : 0n;
        const setattr = Buffer.alloc(88);
        if (action === "create") guest.send(Opcode.MKNOD, ROOT, [u32(0o100644, 0, 0, 0), cstring(name)]);
        else if (action === "mkdir") guest.send(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring(name)]);
        else if (action === "unlink") guest.send(Opcode.UNLINK, ROOT, [cstring(name)]);
        else if (action === "rename")
          guest.send(Opcode.RENAME, ROOT, [u64(ROOT), cstring(name), cstring(other)]);
        else if (nodeId === 0n) continue;
        else if (action === "link") guest.send(Opcode.LINK, ROOT, [u64(nodeId), cstring(other)]);
        else if (action === "truncate") {
          setattr.writeUInt32LE(1 << 3, 0);
          setattr.writeUInt32LE(amount, 16);
          guest.send(Opcode.SETATTR, nodeId, [setattr]);
        } else if (action === "chmod") {
          setattr.writeUInt32LE(1, 0);
          setattr.writeUInt32LE(amount & 0o777, 68);
          guest.send(Opcode.SETATTR, nodeId, [setattr]);
        } else if (action === "write") {
          const opened = guest.send(Opcode.OPEN, nodeId, [u32(1, 0)]);
          if (opened.error === "")
            guest.write(nodeId, opened.body.readBigUInt64LE(0), amount, Buffer.from("x"));
        } else if (action === "xattr") {
          guest.send(Opcode.SETXATTR, nodeId, [
            u32(1, 0),
            Buffer.alloc(8),
            cstring("user.a"),
            Buffer.from("x"),
          ]);
        }
        compare(guest, dir);
      }
      server.close();
      rmSync(outside, { recursive: true });
    }),
    { numRuns: 40 },
  );
});

/** Asks twice: the second answer may come from memory. */
function compare(guest: Fixture["guest"], dir: string): void {
  const names = readdirSync(dir);
  for (let turn = 0; turn < 2; turn++) {
    for (const name of ["a", "b", "c"]) {
      if (!names.includes(name)) {
        const { error, body } = guest.send(Opcode.LOOKUP, ROOT, [cstring(name)]);
        assert.ok(error === "ENOENT" || body.readBigUInt64LE(0) === 0n, `${name} is not there`);
        continue;
      }
      const { nodeId, attr } = guest.lookup(ROOT, name);
      const host = lstatSync(join(dir, name));
      const own = guest.getattr(nodeId);
      for (const { size, mode, nlink, mtimeMs, flags } of [attr, own]) {
        assert.deepEqual([size, mode, nlink], [host.size, host.mode, host.nlink]);
        assert.ok(Math.abs(mtimeMs - host.mtimeMs) < 1);
        assert.equal(flags & FUSE_ATTR_SUBMOUNT, 0);
      }
    }
    const { mtimeMs, nlink } = lstatSync(dir);
    const root = guest.getattr(ROOT);
    assert.ok(root.nlink === nlink && Math.abs(root.mtimeMs - mtimeMs) < 1, "the directory");
  }
}
