import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { F_GETFL, fcntl, ioctl, O_APPEND, O_DIRECT, O_RDWR, O_WRONLY } from "../../lib/sys/file.js";
import { addressOf } from "../../lib/sys/libc.js";
import { Opcode } from "../fuse/constants.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { ROOT, u32, u64 } from "../testing/test-guest.js";

const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_APPEND_FL = 0x20;

/** Sets or clears the host's attribute "append only". @returns false where it has none */
function setAppendOnly(path: string, isSet: boolean): boolean {
  const fd = openSync(path, "r");
  const flags = new Uint32Array(2);
  let result = ioctl(fd, FS_IOC_GETFLAGS, addressOf(flags));
  if (result === 0) {
    flags[0] = isSet ? (flags[0] ?? 0) | FS_APPEND_FL : (flags[0] ?? 0) & ~FS_APPEND_FL;
    result = ioctl(fd, FS_IOC_SETFLAGS, addressOf(flags));
  }
  closeSync(fd);
  return result === 0;
}

/** Flags of the descriptors that this process, which is the server, too, has open of a file. */
function hostFlags(path: string): number[] {
  const flags: number[] = [];
  for (let fd = 0; fd < 1024; fd++) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) === path) flags.push(fcntl(fd, F_GETFL, 0));
    } catch {
      // Not open.
    }
  }
  return flags;
}

test("a file that the host keeps append-only is opened for appending, and for nothing else", {
  skip: needsRoot,
}, (t) => {
  const { dir, guest } = serveDirectory(t);
  const path = join(dir, "log");
  writeFileSync(path, "one\n");
  if (!setAppendOnly(path, true)) return t.skip("the file system of the test has no inode flags");
  try {
    const { nodeId } = guest.lookup(ROOT, "log");
    assert.equal(guest.send(Opcode.OPEN, nodeId, [u32(O_WRONLY, 0)]).error, "EPERM");
    const fh = guest.open(nodeId, O_WRONLY | O_APPEND);
    assert.equal(guest.write(nodeId, fh, 4, Buffer.from("two\n")).error, "");
    assert.equal(readFileSync(path, "latin1"), "one\ntwo\n");
    assert.equal(guest.send(Opcode.UNLINK, ROOT, [Buffer.from("log\0")]).error, "EPERM");
  } finally {
    setAppendOnly(path, false);
  }
});

test("with writeback what is opened for writing can be read, too", (t) => {
  const { dir, guest } = serveDirectory(t, { writeback: true });
  writeFileSync(join(dir, "file"), "content");
  const { nodeId } = guest.lookup(ROOT, "file");
  assert.equal(guest.read(nodeId, guest.open(nodeId, O_WRONLY), 0, 7).toString(), "content");
  const { entry, fh } = guest.create(ROOT, "new", O_WRONLY | O_APPEND, 0o600);
  guest.write(entry.nodeId, fh, 0, Buffer.from("first"));
  guest.write(entry.nodeId, fh, 0, Buffer.from("F"));
  assert.equal(guest.read(entry.nodeId, fh, 0, 9).toString(), "First", "each write has its offset");
  const plain = serveDirectory(t);
  const only = plain.guest.create(ROOT, "new", O_WRONLY, 0o600);
  const args = [u64(only.fh, 0n), u32(4, 0), u64(0n), u32(0, 0)];
  assert.equal(plain.guest.send(Opcode.READ, only.entry.nodeId, args).error, "EBADF", "not without");
});

test("O_DIRECT reaches the host where it may, and buffers that do not fit go through the cache", (t) => {
  const direct = serveDirectory(t, { allowDirectIo: true });
  const path = join(direct.dir, "file");
  writeFileSync(path, Buffer.alloc(8192, "a"));
  const { nodeId } = direct.guest.lookup(ROOT, "file");
  const fh = direct.guest.open(nodeId, O_RDWR | O_DIRECT);
  if (!hostFlags(path).some((flags) => (flags & O_DIRECT) !== 0)) return t.skip("no O_DIRECT here");
  assert.equal(direct.guest.write(nodeId, fh, 5, Buffer.from("odd")).error, "");
  assert.equal(direct.guest.read(nodeId, fh, 3, 7).toString(), "aaoddaa");
  assert.ok(
    hostFlags(path).some((flags) => (flags & O_DIRECT) !== 0),
    "it stays direct",
  );
  const plain = serveDirectory(t);
  writeFileSync(join(plain.dir, "file"), "x");
  plain.guest.open(plain.guest.lookup(ROOT, "file").nodeId, O_RDWR | O_DIRECT);
  assert.deepEqual(
    hostFlags(join(plain.dir, "file")).filter((flags) => (flags & O_DIRECT) !== 0),
    [],
  );
});

test("offsets above 4 GiB, and up to the last one", (t) => {
  const { dir, guest } = serveDirectory(t);
  const { entry, fh } = guest.create(ROOT, "large", O_RDWR, 0o600);
  const far = 5 * 2 ** 32 + 1;
  assert.equal(guest.write(entry.nodeId, fh, far, Buffer.from("far")).error, "");
  assert.equal(guest.read(entry.nodeId, fh, far, 9).toString(), "far");
  assert.equal(statSync(join(dir, "large")).size, far + 3);
  const read = (offset: bigint) =>
    guest.send(Opcode.READ, entry.nodeId, [u64(fh, offset), u32(1, 0), u64(0n), u32(0, 0)]);
  assert.equal(read((1n << 62n) - 1n).body.length, 0, "behind the end");
  assert.equal(read(-1n).error, "EINVAL");
  const write = (offset: bigint) =>
    guest.send(Opcode.WRITE, entry.nodeId, [
      u64(fh, offset),
      u32(1, 0),
      u64(0n),
      u32(0, 0),
      Buffer.from("x"),
    ]);
  assert.equal(write((1n << 63n) - 2n).error, "EFBIG");
  assert.equal(write(-1n).error, "EINVAL");
  assert.equal(guest.send(Opcode.LSEEK, entry.nodeId, [u64(fh, 1n << 62n), u32(3, 0)]).error, "ENXIO");
  assert.equal(guest.send(Opcode.LSEEK, entry.nodeId, [u64(fh, -1n), u32(3, 0)]).error, "ENXIO");
  assert.equal(guest.send(Opcode.FALLOCATE, entry.nodeId, [u64(fh, -1n, 1n), u32(0, 0)]).error, "EINVAL");
  assert.equal(
    guest.send(Opcode.FALLOCATE, entry.nodeId, [u64(fh, (1n << 63n) - 2n, 1n), u32(0, 0)]).error,
    "EFBIG",
  );
});

test("directories are told to be mounts only where they are", (t) => {
  const { guest } = serveDirectory(t, { announceSubmounts: true }, (dir) => mkdirSync(join(dir, "plain")));
  assert.equal(guest.lookup(ROOT, "plain").attr.flags & 1, 0);
});
