import assert from "node:assert/strict";
import { chmodSync, readFileSync, statSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FUSE_WRITE_CACHE, Opcode } from "../fuse/constants.js";
import { type Fixture, needsRoot, serveDirectory } from "../testing/fixture.js";
import { ROOT, u32, u64 } from "../testing/test-guest.js";

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;

test("READ gives exactly the bytes of the range, less at the end of the file", (t) => {
  const { dir, guest, metrics } = serveDirectory(t);
  const content = Buffer.from(Array.from({ length: 10_000 }, (_, index) => index % 251));
  writeFileSync(join(dir, "file"), content);
  const { nodeId } = guest.lookup(ROOT, "file");
  const fh = guest.open(nodeId, O_RDONLY);
  for (const [offset, size] of [
    [0, 4096],
    [1, 1],
    [9_990, 4096],
    [10_000, 100],
    [123_456_789, 10],
    [0, 0],
    [5, 9_995],
  ]) {
    const expected = content.subarray(offset, (offset ?? 0) + (size ?? 0));
    assert.deepEqual(guest.read(nodeId, fh, offset ?? 0, size ?? 0), Buffer.from(expected));
  }
  assert.ok(metrics.readBytes > 10_000);
});

test("READ gives no more than there is room for, whatever the request says", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), Buffer.alloc(100_000, 1));
  const { nodeId } = guest.lookup(ROOT, "file");
  const fh = guest.open(nodeId);
  const body = guest.call(Opcode.READ, nodeId, [u64(fh, 0n), u32(0xffff_ffff, 0), u64(0n), u32(0, 0)], 500);
  assert.equal(body.length, 500);
  const empty = guest.call(Opcode.READ, nodeId, [u64(fh, 0n), u32(4096, 0), u64(0n), u32(0, 0)], 0);
  assert.equal(empty.length, 0);
});

test("WRITE puts the bytes at their offset, through handles opened to append too", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "0123456789");
  const { nodeId } = guest.lookup(ROOT, "file");
  for (const flags of [O_WRONLY, O_RDWR, O_WRONLY | O_APPEND]) {
    const fh = guest.open(nodeId, flags);
    assert.equal(guest.write(nodeId, fh, 3, Buffer.from("abc")).body.readUInt32LE(0), 3);
    guest.release(nodeId, fh);
  }
  assert.equal(readFileSync(join(dir, "file"), "latin1"), "012abc6789");
  const big = Buffer.alloc(1 << 20, "x");
  const fh = guest.open(nodeId, O_WRONLY | O_TRUNC);
  assert.equal(guest.write(nodeId, fh, 5, big).body.readUInt32LE(0), big.length);
  assert.deepEqual(readFileSync(join(dir, "file")), Buffer.concat([Buffer.alloc(5), big]));
});

test("WRITE to a file opened to append goes to its end, wherever the host has brought that", (t) => {
  const appended = ({ dir, guest }: Fixture, flags: number, openFlags: number) => {
    const path = join(dir, "file");
    writeFileSync(path, "0123");
    const { nodeId } = guest.lookup(ROOT, "file");
    const fh = guest.open(nodeId, openFlags);
    writeFileSync(path, "45", { flag: "a" });
    assert.equal(guest.write(nodeId, fh, 4, Buffer.from("x"), flags, openFlags).body.readUInt32LE(0), 1);
    guest.release(nodeId, fh);
    return readFileSync(path, "latin1");
  };
  const through = serveDirectory(t);
  assert.equal(appended(through, 0, O_WRONLY | O_APPEND), "012345x");
  assert.equal(appended(through, FUSE_WRITE_CACHE, O_WRONLY | O_APPEND), "0123x5", "written back");
  assert.equal(appended(through, 0, O_WRONLY), "0123x5");
  const gathering = serveDirectory(t, { writeback: true });
  assert.equal(appended(gathering, 0, O_WRONLY | O_APPEND), "0123x5");
});

test("WRITE of more than the request carries is refused whole", (t) => {
  const { dir, guest } = serveDirectory(t);
  const { entry, fh } = guest.create(ROOT, "file", O_RDWR, 0o600);
  const head = [u64(fh, 0n), u32(4096, 0), u64(0n), u32(0, 0)];
  assert.equal(guest.send(Opcode.WRITE, entry.nodeId, [...head, Buffer.alloc(100)]).error, "EINVAL");
  assert.equal(statSync(join(dir, "file")).size, 0);
});

test("handles: wrong ones, released ones, those of directories", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "x");
  const { nodeId } = guest.lookup(ROOT, "file");
  const fh = guest.open(nodeId);
  const readBy = (handle: bigint) =>
    guest.send(Opcode.READ, nodeId, [u64(handle, 0n), u32(10, 0), u64(0n, 0n)]).error;
  assert.equal(readBy(fh), "");
  assert.equal(guest.write(nodeId, fh, 0, Buffer.from("y")).error, "EBADF", "opened for reading");
  assert.equal(readBy(fh + 1n), "EBADF");
  assert.equal(readBy(0n), "EBADF");
  assert.equal(readBy(0xffff_ffff_ffff_ffffn), "EBADF");
  assert.equal(readBy(guest.opendir(ROOT)), "EBADF");
  guest.release(nodeId, fh);
  assert.equal(readBy(fh), "EBADF");
  const next = guest.open(nodeId);
  assert.notEqual(next, fh, "a file handle never comes back");
});

test("an unlinked file is there while it is open", (t) => {
  const { dir, guest } = serveDirectory(t);
  const { entry, fh } = guest.create(ROOT, "file", O_RDWR, 0o600);
  guest.write(entry.nodeId, fh, 0, Buffer.from("still here"));
  unlinkSync(join(dir, "file"));
  assert.equal(guest.read(entry.nodeId, fh, 0, 100).toString(), "still here");
  assert.equal(guest.getattr(entry.nodeId).nlink, 0);
  const second = guest.open(entry.nodeId);
  assert.equal(guest.read(entry.nodeId, second, 6, 100).toString(), "here");
});

test("holes: LSEEK finds data and holes, FALLOCATE makes both", (t) => {
  const { dir, guest } = serveDirectory(t);
  const { entry, fh } = guest.create(ROOT, "sparse", O_RDWR, 0o600);
  truncateSync(join(dir, "sparse"), 1 << 20);
  guest.write(entry.nodeId, fh, 512 * 1024, Buffer.alloc(4096, 1));
  const seek = (offset: number, whence: number) =>
    guest.send(Opcode.LSEEK, entry.nodeId, [u64(fh, BigInt(offset)), u32(whence, 0)]);
  assert.equal(seek(0, 3).body.readBigUInt64LE(0), 512n * 1024n, "SEEK_DATA");
  assert.equal(seek(512 * 1024, 4).body.readBigUInt64LE(0), 516n * 1024n, "SEEK_HOLE");
  assert.equal(seek(2 << 20, 3).error, "ENXIO");
  const punch = [u64(fh, 512n * 1024n, 4096n), u32(3, 0)];
  guest.call(Opcode.FALLOCATE, entry.nodeId, punch);
  assert.equal(seek(0, 3).error, "ENXIO");
  guest.call(Opcode.FALLOCATE, entry.nodeId, [u64(fh, 0n, 2n << 20n), u32(0, 0)]);
  assert.equal(statSync(join(dir, "sparse")).size, 2 << 20);
});

test("COPY_FILE_RANGE copies between files of the guest", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "from"), "0123456789");
  const from = guest.lookup(ROOT, "from").nodeId;
  const source = guest.open(from);
  const { entry, fh } = guest.create(ROOT, "to", O_RDWR, 0o600);
  const args = [u64(source, 2n, entry.nodeId, fh, 1n, 5n, 0n)];
  assert.equal(guest.call(Opcode.COPY_FILE_RANGE, from, args).readUInt32LE(0), 5);
  assert.equal(readFileSync(join(dir, "to"), "latin1"), "\x0023456");
});

test("FSYNC, FSYNCDIR, SYNCFS and FLUSH succeed", (t) => {
  const { guest } = serveDirectory(t);
  const { entry, fh } = guest.create(ROOT, "file", O_RDWR, 0o600);
  guest.call(Opcode.FSYNC, entry.nodeId, [u64(fh), u32(1, 0)]);
  guest.call(Opcode.FSYNC, entry.nodeId, [u64(fh), u32(0, 0)]);
  guest.call(Opcode.FSYNCDIR, ROOT, [u64(guest.opendir(ROOT)), u32(0, 0)]);
  guest.call(Opcode.SYNCFS, ROOT, [u64(0n)]);
  guest.call(Opcode.FLUSH, entry.nodeId, [u64(fh, 0n, 0n)]);
});

test("writes that ask for it take away set-user-ID bits, others keep them", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t);
  const { entry, fh } = guest.create(ROOT, "suid", O_RDWR, 0o755);
  const path = join(dir, "suid");
  chmodSync(path, 0o4755);
  guest.write(entry.nodeId, fh, 0, Buffer.from("root writes"));
  assert.equal(statSync(path).mode & 0o7777, 0o4755);
  guest.write(entry.nodeId, fh, 0, Buffer.from("somebody writes"), 1 << 2);
  assert.equal(statSync(path).mode & 0o7777, 0o755);
  chmodSync(path, 0o4755);
  guest.write(entry.nodeId, fh, 0, Buffer.from("root again"));
  assert.equal(statSync(path).mode & 0o7777, 0o4755);
});

test("cache=auto: pages are kept over an open only if the file has not changed since the last one", (t) => {
  const { dir, guest } = serveDirectory(t);
  const path = join(dir, "file");
  writeFileSync(path, "one");
  const { nodeId } = guest.lookup(ROOT, "file");
  const keeps = () => (guest.call(Opcode.OPEN, nodeId, [u32(0, 0)]).readUInt32LE(8) & 2) !== 0;
  assert.equal(keeps(), false, "never opened before");
  assert.equal(keeps(), false, "a change within the same tick would not show");
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 10_000 });
  assert.equal(keeps(), false);
  assert.equal(keeps(), true);
  writeFileSync(path, "two");
  t.mock.timers.setTime(Date.now() + 10_000);
  assert.equal(keeps(), false);
  assert.equal(keeps(), true);
});

test("FALLOCATE and COPY_FILE_RANGE take set-id bits away where INIT made that the daemon's task", {
  skip: needsRoot,
}, (t) => {
  for (const killprivV2 of [false, true]) {
    const { dir, guest } = serveDirectory(t, { killprivV2 });
    const { entry, fh } = guest.create(ROOT, "program", O_RDWR, 0o755);
    guest.write(entry.nodeId, fh, 0, Buffer.from("content"));
    const modeAfter = (opcode: number, body: Buffer[]) => {
      chmodSync(join(dir, "program"), 0o6755);
      guest.call(opcode, entry.nodeId, body);
      return statSync(join(dir, "program")).mode & 0o7777;
    };
    const expected = killprivV2 ? 0o755 : 0o6755;
    assert.equal(modeAfter(Opcode.FALLOCATE, [u64(fh, 0n, 10_000n), u32(0, 0)]), expected);
    const copy = [u64(fh, 0n, entry.nodeId, fh, 5000n, 7n, 0n)];
    assert.equal(modeAfter(Opcode.COPY_FILE_RANGE, copy), expected);
  }
});
