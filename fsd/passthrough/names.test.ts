import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Opcode } from "../fuse/constants.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { cstring, ROOT, readEntry, type TestGuest, u32, u64 } from "../testing/test-guest.js";

const O_RDWR = 2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const NOREPLACE = 1;
const EXCHANGE = 2;
const WHITEOUT = 4;

const mkdir = (guest: TestGuest, parent: bigint, name: string, mode = 0o755, umask = 0) =>
  guest.send(Opcode.MKDIR, parent, [u32(mode, umask), cstring(name)]);
const mknod = (guest: TestGuest, parent: bigint, name: string, mode: number, device = 0) =>
  guest.send(Opcode.MKNOD, parent, [u32(mode, device, 0, 0), cstring(name)]);
const rename2 = (
  guest: TestGuest,
  from: bigint,
  oldName: string,
  to: bigint,
  newName: string,
  flags: number,
) => guest.send(Opcode.RENAME2, from, [u64(to), u32(flags, 0), cstring(oldName), cstring(newName)]);

test("MKDIR, MKNOD, SYMLINK, LINK make what they say", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t);
  assert.equal(readEntry(mkdir(guest, ROOT, "d", 0o777, 0o022).body).attr.mode, 0o040755);
  assert.equal(readEntry(mknod(guest, ROOT, "fifo", 0o010600).body).attr.mode, 0o010600);
  assert.equal(readEntry(mknod(guest, ROOT, "file", 0o100644).body).attr.mode, 0o100644);
  const device = readEntry(mknod(guest, ROOT, "device", 0o020666, 0x1230_0845).body).attr;
  assert.equal(device.rdev, 0x1230_0845);
  const link = readEntry(guest.call(Opcode.SYMLINK, ROOT, [cstring("link"), cstring("../../etc")]));
  assert.equal(link.attr.mode & 0o170000, 0o120000);
  assert.equal(readlinkSync(join(dir, "link")), "../../etc");
  const file = guest.lookup(ROOT, "file").nodeId;
  const hard = readEntry(guest.call(Opcode.LINK, ROOT, [u64(file), cstring("hard")]));
  assert.equal(hard.nodeId, file);
  assert.equal(hard.attr.nlink, 2);
  const hardLink = readEntry(guest.call(Opcode.LINK, ROOT, [u64(link.nodeId), cstring("hard link")]));
  assert.equal(hardLink.nodeId, link.nodeId, "the link itself, not what it points to");
  assert.equal(mkdir(guest, ROOT, "d").error, "EEXIST");
});

test("whiteouts for overlayfs: 0:0 character devices, by MKNOD and by RENAME_WHITEOUT", {
  skip: needsRoot,
}, (t) => {
  const { dir, guest } = serveDirectory(t);
  assert.equal(mknod(guest, ROOT, "made", 0o020000, 0).error, "");
  writeFileSync(join(dir, "moved"), "x");
  assert.equal(rename2(guest, ROOT, "moved", ROOT, "target", WHITEOUT).error, "");
  for (const name of ["made", "moved"]) {
    const stat = lstatSync(join(dir, name));
    assert.ok(stat.isCharacterDevice(), name);
    assert.equal(stat.rdev, 0);
  }
  assert.equal(readFileSync(join(dir, "target"), "latin1"), "x");
});

test("RENAME2: no replacement, exchange, and flags that do not exist", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "a"), "a");
  writeFileSync(join(dir, "b"), "b");
  mkdirSync(join(dir, "d"));
  const d = guest.lookup(ROOT, "d").nodeId;
  assert.equal(rename2(guest, ROOT, "a", ROOT, "b", NOREPLACE).error, "EEXIST");
  assert.equal(rename2(guest, ROOT, "a", ROOT, "b", EXCHANGE).error, "");
  assert.equal(readFileSync(join(dir, "a"), "latin1"), "b");
  assert.equal(rename2(guest, ROOT, "a", d, "moved", NOREPLACE).error, "");
  assert.deepEqual(readdirSync(dir).sort(), ["b", "d"]);
  assert.equal(rename2(guest, ROOT, "b", d, "moved", 8).error, "EINVAL");
  assert.equal(guest.send(Opcode.RENAME, ROOT, [u64(d), cstring("b"), cstring("moved")]).error, "");
  assert.equal(readFileSync(join(dir, "d", "moved"), "latin1"), "a");
  assert.equal(guest.send(Opcode.RENAME, ROOT, [u64(999n), cstring("d"), cstring("e")]).error, "ESTALE");
});

test("UNLINK and RMDIR, each of its own kind only", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "");
  mkdirSync(join(dir, "d"));
  writeFileSync(join(dir, "d", "inside"), "");
  assert.equal(guest.send(Opcode.UNLINK, ROOT, [cstring("d")]).error, "EISDIR");
  assert.equal(guest.send(Opcode.RMDIR, ROOT, [cstring("file")]).error, "ENOTDIR");
  assert.equal(guest.send(Opcode.RMDIR, ROOT, [cstring("d")]).error, "ENOTEMPTY");
  guest.call(Opcode.UNLINK, guest.lookup(ROOT, "d").nodeId, [cstring("inside")]);
  guest.call(Opcode.RMDIR, ROOT, [cstring("d")]);
  guest.call(Opcode.UNLINK, ROOT, [cstring("file")]);
  assert.deepEqual(readdirSync(dir), []);
});

test("what is made belongs to the caller, with the caller's group or the directory's", {
  skip: needsRoot,
}, (t) => {
  const { dir, guest } = serveDirectory(t);
  mkdirSync(join(dir, "shared"));
  chownSync(join(dir, "shared"), 0, 50);
  chmodSync(join(dir, "shared"), 0o2775);
  const shared = guest.lookup(ROOT, "shared").nodeId;
  guest.uid = 1000;
  guest.gid = 1001;
  const made = [
    readEntry(mkdir(guest, ROOT, "d").body).attr,
    readEntry(mknod(guest, ROOT, "fifo", 0o010600).body).attr,
    readEntry(guest.call(Opcode.SYMLINK, ROOT, [cstring("link"), cstring("x")])).attr,
    guest.create(ROOT, "file", O_RDWR, 0o644).entry.attr,
  ];
  for (const attr of made) assert.deepEqual([attr.uid, attr.gid], [1000, 1001]);
  const inherited = readEntry(mkdir(guest, shared, "d").body).attr;
  assert.deepEqual([inherited.uid, inherited.gid, inherited.mode], [1000, 50, 0o042755]);
  const file = guest.create(shared, "file", O_RDWR, 0o4755).entry.attr;
  assert.deepEqual([file.uid, file.gid, file.mode], [1000, 50, 0o104755]);
  guest.uid = 0;
  guest.gid = 0;
  assert.equal(readEntry(mkdir(guest, ROOT, "root's").body).attr.uid, 0);
  guest.uid = 0xffff_ffff;
  assert.equal(mkdir(guest, ROOT, "nobody's").error, "EOVERFLOW");
  assert.ok(!existsSync(join(dir, "nobody's")));
});

test("the host's permissions do not stop what the guest's kernel allowed", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t);
  mkdirSync(join(dir, "staff"), { mode: 0o770 });
  const staff = guest.lookup(ROOT, "staff").nodeId;
  guest.uid = 1000;
  guest.gid = 1000;
  assert.equal(mkdir(guest, staff, "by a member").error, "");
});

test("CREATE: new, there already, exclusive, truncating", (t) => {
  const { dir, guest } = serveDirectory(t);
  const first = guest.create(ROOT, "file", O_RDWR | O_CREAT, 0o666, 0o027);
  assert.equal(first.entry.attr.mode, 0o100640);
  guest.write(first.entry.nodeId, first.fh, 0, Buffer.from("content"));
  const second = guest.create(ROOT, "file", O_RDWR | O_CREAT, 0o600);
  assert.equal(second.entry.nodeId, first.entry.nodeId);
  assert.equal(second.entry.attr.size, 7);
  const exclusive = [u32(O_RDWR | O_CREAT | O_EXCL, 0o600, 0, 0), cstring("file")];
  assert.equal(guest.send(Opcode.CREATE, ROOT, exclusive).error, "EEXIST");
  const third = guest.create(ROOT, "file", O_RDWR | O_CREAT | O_TRUNC, 0o600);
  assert.equal(third.entry.attr.size, 0);
  assert.equal(statSync(join(dir, "file")).size, 0);
});

test("CREATE follows no link and opens no device", { skip: needsRoot }, (t) => {
  const { dir, outside, guest, metrics } = serveDirectory(t);
  symlinkSync("../canary", join(dir, "link"));
  const args = (name: string) => [u32(O_RDWR | O_CREAT, 0o600, 0, 0), cstring(name)];
  assert.equal(guest.send(Opcode.CREATE, ROOT, args("link")).error, "ENXIO");
  assert.ok(!existsSync(join(outside, "canary")));
  mknod(guest, ROOT, "fifo", 0o010600);
  const held = metrics.inodesLive;
  assert.equal(guest.send(Opcode.CREATE, ROOT, args("fifo")).error, "ENXIO");
  mkdirSync(join(dir, "d"));
  assert.equal(guest.send(Opcode.CREATE, ROOT, args("d")).error, "EISDIR");
  assert.equal(metrics.inodesLive, held, "what failed leaves no reference");
  assert.equal(metrics.handlesLive, 0);
});

test("TMPFILE: a file without a name, which LINK gives one", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t);
  guest.uid = 1000;
  const body = guest.call(Opcode.TMPFILE, ROOT, [u32(O_RDWR, 0o640, 0, 0), cstring("#1")]);
  const entry = readEntry(body);
  const fh = body.readBigUInt64LE(128);
  assert.equal(entry.attr.nlink, 0);
  assert.equal(entry.attr.uid, 1000);
  guest.write(entry.nodeId, fh, 0, Buffer.from("tmp"));
  assert.deepEqual(readdirSync(dir), []);
  const linked = readEntry(guest.call(Opcode.LINK, ROOT, [u64(entry.nodeId), cstring("named")]));
  assert.equal(linked.nodeId, entry.nodeId);
  assert.equal(readFileSync(join(dir, "named"), "latin1"), "tmp");
});

test("names that are not one component change nothing", (t) => {
  const { dir, outside, guest } = serveDirectory(t);
  writeFileSync(join(outside, "canary"), "");
  writeFileSync(join(dir, "file"), "");
  for (const name of ["../canary", "..", ".", "", "a/b", join(outside, "canary")]) {
    assert.equal(mkdir(guest, ROOT, name).error, "EINVAL");
    assert.equal(mknod(guest, ROOT, name, 0o100644).error, "EINVAL");
    assert.equal(guest.send(Opcode.UNLINK, ROOT, [cstring(name)]).error, "EINVAL");
    assert.equal(guest.send(Opcode.RMDIR, ROOT, [cstring(name)]).error, "EINVAL");
    assert.equal(guest.send(Opcode.SYMLINK, ROOT, [cstring(name), cstring("x")]).error, "EINVAL");
    assert.equal(rename2(guest, ROOT, "file", ROOT, name, 0).error, "EINVAL");
    assert.equal(rename2(guest, ROOT, name, ROOT, "new", 0).error, "EINVAL");
    assert.equal(guest.send(Opcode.CREATE, ROOT, [u32(O_RDWR, 0o600, 0, 0), cstring(name)]).error, "EINVAL");
  }
  assert.deepEqual(readdirSync(dir), ["file"]);
  assert.ok(existsSync(join(outside, "canary")));
});

test("a caller without ids, which a guest with FUSE_ALLOW_IDMAP is where nothing is made, may rename but not make", (t) => {
  const { guest } = serveDirectory(t);
  guest.create(ROOT, "old", 2, 0o644);
  guest.uid = 0xffff_ffff;
  guest.gid = 0xffff_ffff;
  guest.call(Opcode.RENAME2, ROOT, [u64(ROOT), u32(0, 0), cstring("old"), cstring("new")]);
  const whiteout = [u64(ROOT), u32(4, 0), cstring("new"), cstring("newer")];
  assert.equal(guest.send(Opcode.RENAME2, ROOT, whiteout).error, "EOVERFLOW");
  assert.equal(guest.send(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring("d")]).error, "EOVERFLOW");
  guest.call(Opcode.UNLINK, ROOT, [cstring("new")]);
});
