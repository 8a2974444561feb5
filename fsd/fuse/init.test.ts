import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeInit, negotiate, readInit, writeInit } from "./init.js";

const EVERYTHING = {
  major: 7,
  minor: 41,
  maxReadaheadBytes: 131072,
  flags: 0xffff_ffff,
  flags2: 0xffff_ffff,
};

test("INIT is answered byte for byte as struct fuse_init_out", () => {
  const view = new DataView(new ArrayBuffer(64));
  writeInit(view, 0, negotiate(EVERYTHING, true, true));
  const expected = [
    "07000000 26000000 00000200", // major 7, minor 38, max_readahead 128 KiB
    "29f0c454", // flags: bits 0 3 5 12 13 14 15 18 22 23 26 28 30
    "ffff ffbf", // max_background, congestion_threshold
    "00001000 01000000", // max_write 1 MiB, time_gran 1 ns
    "0001 1500", // max_pages 256, map_alignment 2^21
    "12000000", // flags2: HAS_INODE_DAX (33), DIRECT_IO_ALLOW_MMAP (36)
    "00".repeat(28),
  ];
  assert.equal(Buffer.from(view.buffer).toString("hex"), expected.join("").replaceAll(" ", ""));
});

test("nothing is accepted that the guest did not offer", () => {
  const settled = negotiate({ ...EVERYTHING, minor: 31, flags: 1 << 13, flags2: 0xffff_ffff }, true, true);
  assert.equal(settled.minor, 31);
  assert.equal(settled.flags, 1 << 13);
  assert.equal(settled.flags2, 0, "flags2 mean nothing without FUSE_INIT_EXT");
});

test("without a window there is no DAX, with dax=always no per-file DAX", () => {
  assert.equal(negotiate(EVERYTHING, false, true).flags & (1 << 26), 0);
  assert.equal(negotiate(EVERYTHING, false, true).flags2 & 2, 0);
  assert.notEqual(negotiate(EVERYTHING, true, false).flags & (1 << 26), 0);
  assert.equal(negotiate(EVERYTHING, true, false).flags2 & 2, 0);
});

test("versions", () => {
  assert.equal(judgeInit(7, 31), "ok");
  assert.equal(judgeInit(7, 99), "ok");
  assert.equal(judgeInit(7, 30), "too-old");
  assert.equal(judgeInit(6, 99), "too-old");
  assert.equal(judgeInit(8, 0), "other-major");
});

test("a short struct fuse_init_in has no flags2", () => {
  const view = new DataView(new ArrayBuffer(64));
  view.setUint32(0, 7, true);
  view.setUint32(4, 36, true);
  view.setUint32(16, 0xff, true);
  assert.equal(readInit(view, 0, false).flags2, 0);
  assert.equal(readInit(view, 0, true).flags2, 0xff);
});
