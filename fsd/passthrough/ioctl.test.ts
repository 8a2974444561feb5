import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Opcode } from "../fuse/constants.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { type Reply, ROOT, type TestGuest, u32, u64 } from "../testing/test-guest.js";

const GETFLAGS = 0x8008_6601;
const SETFLAGS = 0x4008_6602;
const GETVERSION = 0x8008_7601;
const FSGETXATTR = 0x801c_581f;
const FSSETXATTR = 0x401c_5820;
const FS_NODUMP_FL = 0x40;
const FS_PROJINHERIT_FL = 0x2000_0000;

function ioctl(
  guest: TestGuest,
  node: bigint,
  fh: bigint,
  command: number,
  data: Buffer,
  outBytes: number,
): Reply {
  const head = [u64(fh), u32(0, command), u64(0n), u32(data.length, outBytes)];
  return guest.send(Opcode.IOCTL, node, [...head, data], 4096);
}

/** A file and a directory with handles; undefined where the file system of the test has no such flags. */
function open(t: TestContext, readOnly = false) {
  const { guest } = serveDirectory(t, { readOnly }, (dir) => {
    writeFileSync(join(dir, "file"), "x");
    mkdirSync(join(dir, "directory"));
  });
  const file = guest.lookup(ROOT, "file").nodeId;
  const directory = guest.lookup(ROOT, "directory").nodeId;
  const handles = { file: guest.open(file), directory: guest.opendir(directory) };
  const hasFlags = ioctl(guest, file, handles.file, GETFLAGS, Buffer.alloc(0), 4).error === "";
  if (!hasFlags) t.skip("the file system of the test has no inode flags");
  return hasFlags ? { guest, file, directory, handles } : undefined;
}

test("inode flags of files and directories are told and set", { skip: needsRoot }, (t) => {
  const opened = open(t);
  if (opened === undefined) return;
  const { guest, file, directory, handles } = opened;
  for (const [node, fh] of [
    [file, handles.file],
    [directory, handles.directory],
  ] as const) {
    const flags = ioctl(guest, node, fh, GETFLAGS, Buffer.alloc(0), 4).body;
    assert.equal(flags.length, 16 + 4, "exactly what the guest's kernel has room for");
    assert.equal(flags.readInt32LE(0), 0, "result");
    const wanted = u32(flags.readUInt32LE(16) ^ FS_NODUMP_FL);
    assert.equal(ioctl(guest, node, fh, SETFLAGS, wanted, 0).body.length, 16);
    assert.deepEqual(
      ioctl(guest, node, fh, GETFLAGS, Buffer.alloc(0), 8).body.subarray(16),
      wanted,
      "to a program that gives room for a long, it is an int all the same",
    );
    assert.equal(ioctl(guest, node, fh, FSGETXATTR, Buffer.alloc(0), 28).body.length, 16 + 28);
  }
  const version = ioctl(guest, file, handles.file, GETVERSION, Buffer.alloc(0), 8);
  assert.ok(version.error === "ENOTTY" || version.body.length === 16 + 4);
});

test("the project, by which the host counts disk space, cannot be changed", { skip: needsRoot }, (t) => {
  const opened = open(t);
  if (opened === undefined) return;
  const { guest, file, handles } = opened;
  const flags = ioctl(guest, file, handles.file, GETFLAGS, Buffer.alloc(0), 4).body.readUInt32LE(16);
  const inherits = u32(flags ^ FS_PROJINHERIT_FL);
  assert.equal(ioctl(guest, file, handles.file, SETFLAGS, inherits, 0).error, "EPERM");
  const attributes = Buffer.from(ioctl(guest, file, handles.file, FSGETXATTR, Buffer.alloc(0), 28).body);
  const same = Buffer.from(attributes.subarray(16));
  assert.equal(ioctl(guest, file, handles.file, FSSETXATTR, same, 0).error, "", "nothing changes");
  const other = Buffer.from(same);
  other.writeUInt32LE(4711, 12);
  assert.equal(ioctl(guest, file, handles.file, FSSETXATTR, other, 0).error, "EPERM");
});

test("what is no ioctl of files is ENOTTY, and lengths are checked", { skip: needsRoot }, (t) => {
  const opened = open(t);
  if (opened === undefined) return;
  const { guest, file, handles } = opened;
  const send = (command: number, data: Buffer, outBytes: number, fh = handles.file) =>
    ioctl(guest, file, fh, command, data, outBytes).error;
  assert.equal(send(0x5401, Buffer.alloc(0), 64), "ENOTTY", "TCGETS");
  assert.equal(send(0xc020_660b, Buffer.alloc(32), 32), "ENOTTY", "FS_IOC_FIEMAP");
  assert.equal(send(0x4004_9409, Buffer.alloc(4), 0), "ENOTTY", "FICLONE, which names a descriptor");
  assert.equal(send(GETFLAGS, Buffer.alloc(0), 3), "EINVAL");
  assert.equal(send(SETFLAGS, Buffer.alloc(3), 0), "EINVAL");
  assert.equal(send(GETFLAGS, Buffer.alloc(0), 4, 999n), "EBADF");
  assert.equal(guest.send(Opcode.IOCTL, file, [u64(handles.file), u32(0, GETFLAGS)]).error, "EINVAL");
});

test("nothing is set on a read-only device", { skip: needsRoot }, (t) => {
  const opened = open(t, true);
  if (opened === undefined) return;
  const { guest, file, handles } = opened;
  assert.equal(ioctl(guest, file, handles.file, SETFLAGS, u32(FS_NODUMP_FL), 0).error, "EROFS");
});
