import assert from "node:assert/strict";
import { existsSync, linkSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openDescriptors } from "../../lib/sys/testing/open-descriptors.js";
import { Opcode } from "../fuse/constants.js";
import { serveDirectory } from "../testing/fixture.js";
import { cstring, ROOT, TestGuest, u64 } from "../testing/test-guest.js";

test("LOOKUP and GETATTR tell what stat(2) tells", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "content", { mode: 0o640 });
  const { attr, nodeId } = guest.lookup(ROOT, "file");
  const host = statSync(join(dir, "file"), { bigint: true });
  assert.equal(attr.ino, host.ino);
  assert.equal(attr.size, 7);
  assert.equal(attr.mode, 0o100640);
  assert.equal(attr.nlink, 1);
  assert.equal(Math.round(attr.mtimeMs), Math.round(Number(host.mtimeNs) / 1e6));
  assert.deepEqual(guest.getattr(nodeId), attr);
});

test("one inode has one node id under all its names, for as long as the guest holds it", (t) => {
  const { dir, guest, metrics } = serveDirectory(t);
  writeFileSync(join(dir, "a"), "");
  linkSync(join(dir, "a"), join(dir, "b"));
  const before = openDescriptors().length;
  const first = guest.lookup(ROOT, "a").nodeId;
  assert.equal(guest.lookup(ROOT, "b").nodeId, first);
  assert.equal(metrics.inodesLive, 1);
  guest.forget(first, 1n);
  assert.equal(guest.getattr(first).nlink, 2, "one reference is left");
  guest.forget(first, 1n);
  assert.equal(openDescriptors().length, before);
  assert.equal(guest.send(Opcode.GETATTR, first, [Buffer.alloc(16)]).error, "ESTALE");
  assert.notEqual(guest.lookup(ROOT, "a").nodeId, first, "a node id never comes back");
});

test("FORGET of more than was given, of the root and of nothing does no harm", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "a"), "");
  const { nodeId } = guest.lookup(ROOT, "a");
  guest.forget(nodeId, 1n << 63n);
  guest.forget(nodeId, 1n);
  guest.forget(ROOT, 1000n);
  guest.forget(12345n, 1n);
  guest.lookup(ROOT, "a");
});

test("BATCH_FORGET takes as many as are really there", (t) => {
  const { dir, guest, metrics } = serveDirectory(t);
  for (let index = 0; index < 600; index++) writeFileSync(join(dir, `f${index}`), "");
  const nodes = Array.from({ length: 600 }, (_, index) => guest.lookup(ROOT, `f${index}`).nodeId);
  assert.equal(metrics.inodesLive, 600);
  const list = u64(...nodes.flatMap((node) => [node, 1n]));
  const count = Buffer.alloc(8);
  count.writeUInt32LE(0xffff_ffff);
  const answered = () => guest.send(Opcode.BATCH_FORGET, 0n, [count, list]);
  assert.throws(answered, /reply of 0 bytes/);
  assert.equal(metrics.inodesLive, 0);
});

test("no name leads out of the share", (t) => {
  const { dir, outside, guest } = serveDirectory(t);
  writeFileSync(join(outside, "canary"), "secret");
  symlinkSync("../canary", join(dir, "relative"));
  symlinkSync(join(outside, "canary"), join(dir, "absolute"));
  symlinkSync("/", join(dir, "root"));
  for (const name of ["..", ".", "../canary", "/etc/passwd", "", "root/etc"]) {
    assert.equal(guest.send(Opcode.LOOKUP, ROOT, [cstring(name)]).error, "EINVAL", name);
  }
  for (const name of ["relative", "absolute", "root"]) {
    const { nodeId, attr } = guest.lookup(ROOT, name);
    assert.equal(attr.mode & 0o170000, 0o120000);
    assert.equal(guest.send(Opcode.LOOKUP, nodeId, [cstring("etc")]).error, "ENOTDIR");
    assert.equal(guest.send(Opcode.OPEN, nodeId, [Buffer.alloc(8)]).error, "ENXIO");
    assert.equal(guest.send(Opcode.OPENDIR, nodeId, [Buffer.alloc(8)]).error, "ENOTDIR");
  }
  assert.equal(
    guest.call(Opcode.READLINK, guest.lookup(ROOT, "relative").nodeId, []).toString(),
    "../canary",
  );
});

for (const inodeFileHandles of ["never", "prefer"] as const) {
  test(`file handles ${inodeFileHandles}: a symbolic link in place of a directory leads nowhere`, (t) => {
    const { dir, outside, guest } = serveDirectory(t, { inodeFileHandles });
    mkdirSync(join(dir, "d"));
    mkdirSync(join(outside, "target"));
    writeFileSync(join(outside, "target", "canary"), "");
    const { nodeId } = guest.lookup(ROOT, "d");
    rmSync(join(dir, "d"), { recursive: true });
    symlinkSync(join(outside, "target"), join(dir, "d"));
    // The directory that the guest knows is empty, or gone if nothing kept it.
    const expected = /^(ENOENT|ESTALE)$/;
    assert.match(guest.send(Opcode.LOOKUP, nodeId, [cstring("canary")]).error, expected);
    assert.match(guest.send(Opcode.UNLINK, nodeId, [cstring("canary")]).error, expected);
    assert.ok(existsSync(join(outside, "target", "canary")));
  });
}

test("cache modes: how long the guest may keep names, attributes and absences", (t) => {
  const times = { never: 0, auto: 1, metadata: 86400, always: 86400 } as const;
  for (const cache of ["never", "auto", "metadata", "always"] as const) {
    const { dir, guest } = serveDirectory(t, { cache });
    writeFileSync(join(dir, "a"), "");
    const entry = guest.lookup(ROOT, "a");
    assert.equal(entry.entryValid, times[cache]);
    assert.equal(entry.attrValid, times[cache]);
    const absent = guest.send(Opcode.LOOKUP, ROOT, [cstring("absent")]);
    if (times[cache] <= 1) assert.equal(absent.error, "ENOENT");
    else assert.equal(absent.body.readBigUInt64LE(0), 0n);
  }
});

test("a session ends with DESTROY, with a reset and with a new INIT, and gives everything back", (t) => {
  const { dir, guest, metrics } = serveDirectory(t);
  mkdirSync(join(dir, "d"));
  const before = openDescriptors().length;
  const endings = [() => guest.call(Opcode.DESTROY, 0n, []), () => guest.server.reset(), () => guest.init()];
  for (const end of endings) {
    const { nodeId } = guest.lookup(ROOT, "d");
    guest.opendir(nodeId);
    guest.create(ROOT, "file", 2, 0o600);
    end();
    assert.equal(openDescriptors().length, before);
    assert.equal(metrics.inodesLive, 0);
    assert.equal(metrics.handlesLive, 0);
    guest.init();
    assert.equal(guest.send(Opcode.GETATTR, nodeId, [Buffer.alloc(16)]).error, "ESTALE");
  }
});

test("before INIT nothing is served", (t) => {
  const { guest } = serveDirectory(t);
  guest.server.reset();
  const stranger = new TestGuest(guest.server);
  assert.equal(stranger.send(Opcode.LOOKUP, ROOT, [cstring("a")]).error, "ENOTCONN");
  assert.equal(stranger.send(Opcode.SETXATTR, ROOT, []).error, "ENOTCONN");
});

test("opcodes that are not served are ENOSYS", (t) => {
  const { guest } = serveDirectory(t);
  for (const opcode of [0, 7, 36, 37, 40, 41, 54, 63, 64, 4096, 0xffff_ffff]) {
    assert.equal(guest.send(opcode, ROOT, [Buffer.alloc(64)]).error, "ENOSYS");
  }
});
