import assert from "node:assert/strict";
import { test } from "node:test";
import {
  FUSE_DIRECT_IO_ALLOW_MMAP,
  FUSE_DO_READDIRPLUS,
  FUSE_DONT_MASK,
  FUSE_FLOCK_LOCKS,
  FUSE_HANDLE_KILLPRIV_V2,
  FUSE_POSIX_ACL,
  FUSE_POSIX_LOCKS,
  FUSE_READDIRPLUS_AUTO,
  FUSE_SECURITY_CTX,
  FUSE_SETXATTR_EXT,
  FUSE_SUBMOUNTS,
  FUSE_WRITEBACK_CACHE,
} from "./constants.js";
import { type InitWishes, judgeInit, negotiate, readInit, unmetDemand, writeInit } from "./init.js";

const EVERYTHING = {
  major: 7,
  minor: 46,
  maxReadaheadBytes: 131072,
  flags: 0xffff_ffff,
  flags2: 0xffff_ffff,
};

const NOTHING: InitWishes = {
  hasWindow: false,
  perFileDax: false,
  readdirplus: false,
  writeback: false,
  allowMmap: false,
  killprivV2: false,
  announceSubmounts: false,
  posixLock: false,
  flock: false,
  posixAcl: "never",
  securityLabel: "never",
};
const WITH_DAX: InitWishes = {
  ...NOTHING,
  hasWindow: true,
  perFileDax: true,
  readdirplus: true,
  killprivV2: true,
};

test("INIT is answered byte for byte as struct fuse_init_out", () => {
  const view = new DataView(new ArrayBuffer(64));
  writeInit(view, 0, negotiate(EVERYTHING, WITH_DAX));
  const expected = [
    "07000000 2e000000 00000200", // major 7, minor 46, max_readahead 128 KiB
    "29f8c454", // flags: bits 0 3 5 11 12 13 14 15 18 22 23 26 28 30
    "ffff ffbf", // max_background, congestion_threshold
    "00001000 01000000", // max_write 1 MiB, time_gran 1 ns
    "0001 1500", // max_pages 256, map_alignment 2^21
    "06010000", // flags2: HAS_INODE_DAX (33), CREATE_SUPP_GROUP (34), ALLOW_IDMAP (40)
    "00".repeat(28),
  ];
  assert.equal(Buffer.from(view.buffer).toString("hex"), expected.join("").replaceAll(" ", ""));
});

test("nothing is accepted that the guest did not offer", () => {
  const settled = negotiate({ ...EVERYTHING, minor: 31, flags: 1 << 13, flags2: 0xffff_ffff }, WITH_DAX);
  assert.equal(settled.minor, 31);
  assert.equal(settled.flags, 1 << 13);
  assert.equal(settled.flags2, 0, "flags2 mean nothing without FUSE_INIT_EXT");
});

test("without a window there is no DAX, with dax=always no per-file DAX", () => {
  const windowless = negotiate(EVERYTHING, { ...WITH_DAX, hasWindow: false });
  assert.equal(windowless.flags & (1 << 26), 0);
  assert.equal(windowless.flags2 & 2, 0);
  const always = negotiate(EVERYTHING, { ...WITH_DAX, perFileDax: false });
  assert.notEqual(always.flags & (1 << 26), 0);
  assert.equal(always.flags2 & 2, 0);
});

const ACL_FLAGS = FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_SETXATTR_EXT;

test("each option adds its flags, and no others", () => {
  const plain = negotiate(EVERYTHING, NOTHING);
  const added = (wishes: Partial<InitWishes>) => {
    const settled = negotiate(EVERYTHING, { ...NOTHING, ...wishes });
    assert.equal((settled.flags & plain.flags) >>> 0, plain.flags);
    return [(settled.flags ^ plain.flags) >>> 0, (settled.flags2 ^ plain.flags2) >>> 0];
  };
  assert.deepEqual(added({ readdirplus: true }), [FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO, 0]);
  assert.deepEqual(added({ writeback: true }), [FUSE_WRITEBACK_CACHE, 0]);
  assert.deepEqual(added({ killprivV2: true }), [FUSE_HANDLE_KILLPRIV_V2, 0]);
  assert.deepEqual(added({ announceSubmounts: true }), [FUSE_SUBMOUNTS, 0]);
  assert.deepEqual(added({ posixLock: true }), [FUSE_POSIX_LOCKS, 0]);
  assert.deepEqual(added({ flock: true }), [FUSE_FLOCK_LOCKS, 0]);
  assert.deepEqual(added({ allowMmap: true }), [0, FUSE_DIRECT_IO_ALLOW_MMAP]);
  assert.deepEqual(added({ securityLabel: "auto" }), [0, FUSE_SECURITY_CTX]);
  assert.deepEqual(added({ posixAcl: "auto" }), [ACL_FLAGS, 0]);
});

test("ACLs are taken whole or not at all, and what is demanded must be there", () => {
  const incomplete = { ...EVERYTHING, flags: (EVERYTHING.flags & ~FUSE_DONT_MASK) >>> 0 };
  assert.equal(negotiate(incomplete, { ...NOTHING, posixAcl: "auto" }).flags & ACL_FLAGS, 0);
  assert.equal(unmetDemand(incomplete, { ...NOTHING, posixAcl: "auto" }), undefined);
  assert.equal(unmetDemand(incomplete, { ...NOTHING, posixAcl: "always" }), "posix-acl");
  assert.equal(unmetDemand(EVERYTHING, { ...NOTHING, posixAcl: "always" }), undefined);
  const old = { ...EVERYTHING, flags: (1 << 20) >>> 0 };
  assert.equal(unmetDemand(old, { ...NOTHING, securityLabel: "always" }), "security-label");
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
