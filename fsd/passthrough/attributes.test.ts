import assert from "node:assert/strict";
import { chmodSync, lstatSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Opcode } from "../fuse/constants.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { ROOT, readAttr, type TestGuest, u32, u64 } from "../testing/test-guest.js";

interface Changes {
  readonly valid: number;
  readonly fh?: bigint;
  readonly size?: bigint;
  readonly atime?: bigint;
  readonly mtime?: bigint;
  readonly nanoseconds?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** struct fuse_setattr_in. */
function setattr(guest: TestGuest, nodeId: bigint, changes: Changes) {
  const {
    valid,
    fh = 0n,
    size = 0n,
    atime = 0n,
    mtime = 0n,
    nanoseconds = 0,
    mode = 0,
    uid = 0,
    gid = 0,
  } = changes;
  return guest.send(Opcode.SETATTR, nodeId, [
    u32(valid, 0),
    u64(fh, size, 0n, atime, mtime, 0n),
    u32(nanoseconds, nanoseconds, 0, mode, 0, uid, gid, 0),
  ]);
}

const MODE = 1;
const UID = 2;
const GID = 4;
const SIZE = 8;
const ATIME = 16;
const MTIME = 32;
const FH = 64;
const MTIME_NOW = 256;
const KILL_SUIDGID = 1 << 11;

test("mode, owner, size and times change, and the answer tells the new ones", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "0123456789");
  const { nodeId } = guest.lookup(ROOT, "file");
  const changed = readAttr(setattr(guest, nodeId, { valid: MODE, mode: 0o6755 }).body, 16);
  assert.equal(changed.mode, 0o106755);
  setattr(guest, nodeId, { valid: UID, uid: 7 });
  setattr(guest, nodeId, { valid: GID, gid: 8 });
  const { uid, gid } = statSync(join(dir, "file"));
  assert.deepEqual([uid, gid], [7, 8]);
  assert.equal(readAttr(setattr(guest, nodeId, { valid: SIZE, size: 4n }).body, 16).size, 4);
  const times = { valid: ATIME | MTIME, atime: 1_000_000n, mtime: 2_000_000n, nanoseconds: 123_000_000 };
  assert.equal(readAttr(setattr(guest, nodeId, times).body, 16).mtimeMs, 2_000_000_123);
  assert.equal(statSync(join(dir, "file")).atimeMs, 1_000_000_123);
  setattr(guest, nodeId, { valid: MTIME | MTIME_NOW });
  const stat = statSync(join(dir, "file"));
  assert.ok(Math.abs(stat.mtimeMs - Date.now()) < 60_000);
  assert.equal(stat.atimeMs, 1_000_000_123, "what was not named stays");
});

test("times before 1970, and nanoseconds that are none", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "");
  const { nodeId } = guest.lookup(ROOT, "file");
  setattr(guest, nodeId, { valid: MTIME, mtime: -1000n });
  assert.equal(statSync(join(dir, "file")).mtimeMs, -1_000_000);
  for (const nanoseconds of [0x3fffffff, 0x3ffffffe, 0xffff_ffff, 1_000_000_000]) {
    assert.equal(setattr(guest, nodeId, { valid: MTIME, nanoseconds }).error, "EINVAL");
  }
});

test("a symbolic link's own owner and times change, not its target's", { skip: needsRoot }, (t) => {
  const { dir, outside, guest } = serveDirectory(t);
  writeFileSync(join(outside, "canary"), "");
  const before = statSync(join(outside, "canary"));
  symlinkSync("../canary", join(dir, "link"));
  const { nodeId } = guest.lookup(ROOT, "link");
  assert.equal(setattr(guest, nodeId, { valid: UID, uid: 9 }).error, "");
  assert.equal(setattr(guest, nodeId, { valid: MTIME, mtime: 5n }).error, "");
  assert.equal(setattr(guest, nodeId, { valid: MODE, mode: 0o777 }).error, "ENOTSUP");
  assert.equal(setattr(guest, nodeId, { valid: SIZE, size: 0n }).error, "EINVAL");
  assert.equal(lstatSync(join(dir, "link")).uid, 9);
  assert.equal(lstatSync(join(dir, "link")).mtimeMs, 5000);
  const after = statSync(join(outside, "canary"));
  assert.deepEqual([after.uid, after.mtimeMs, after.mode], [before.uid, before.mtimeMs, before.mode]);
});

test("truncation through a handle, which must be open for writing", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "0123456789");
  const { nodeId } = guest.lookup(ROOT, "file");
  assert.equal(setattr(guest, nodeId, { valid: SIZE | FH, size: 3n, fh: guest.open(nodeId, 1) }).error, "");
  assert.equal(statSync(join(dir, "file")).size, 3);
  assert.equal(
    setattr(guest, nodeId, { valid: SIZE | FH, size: 3n, fh: guest.open(nodeId, 0) }).error,
    "EINVAL",
  );
  assert.equal(setattr(guest, nodeId, { valid: SIZE | FH, size: 3n, fh: 99n }).error, "EBADF");
  assert.equal(setattr(guest, nodeId, { valid: SIZE, size: 1n << 63n }).error, "EINVAL");
});

test("truncation takes away set-user-ID bits where the guest asks for it", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t);
  const path = join(dir, "file");
  writeFileSync(path, "0123456789");
  const { nodeId } = guest.lookup(ROOT, "file");
  chmodSync(path, 0o4755);
  setattr(guest, nodeId, { valid: SIZE, size: 5n });
  assert.equal(statSync(path).mode & 0o7777, 0o4755);
  setattr(guest, nodeId, { valid: SIZE | KILL_SUIDGID, size: 3n });
  assert.equal(statSync(path).mode & 0o7777, 0o755);
});

test("ACCESS goes by the mode", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "", { mode: 0o640 });
  const { nodeId } = guest.lookup(ROOT, "file");
  const access = (mask: number) => guest.send(Opcode.ACCESS, nodeId, [u32(mask, 0)]).error;
  assert.equal(access(6), "");
  assert.equal(access(1), "EACCES", "not even root may execute it");
  guest.uid = 1000;
  assert.equal(access(4), "");
  assert.equal(access(2), "EACCES");
  guest.gid = 1000;
  assert.equal(access(4), "EACCES");
});

test("STATFS tells the file system's figures", (t) => {
  const { guest } = serveDirectory(t);
  const body = guest.call(Opcode.STATFS, ROOT, []);
  assert.equal(body.length, 80);
  assert.ok(body.readBigUInt64LE(0) >= body.readBigUInt64LE(8), "blocks, bfree");
  assert.equal(body.readUInt32LE(44), 255, "namelen");
});
