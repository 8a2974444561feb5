import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Opcode } from "../fuse/constants.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { cstring, ROOT, type TestGuest, u32 } from "../testing/test-guest.js";

const set = (guest: TestGuest, nodeId: bigint, name: string, value: Uint8Array, flags = 0) =>
  guest.send(Opcode.SETXATTR, nodeId, [u32(value.length, flags), cstring(name), value]);
const get = (guest: TestGuest, nodeId: bigint, name: string, size: number) =>
  guest.send(Opcode.GETXATTR, nodeId, [u32(size, 0), cstring(name)], Math.max(size, 8));
const list = (guest: TestGuest, nodeId: bigint, size: number) =>
  guest.send(Opcode.LISTXATTR, nodeId, [u32(size, 0)], Math.max(size, 8));

test("attributes are set, read, listed and removed", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "");
  const { nodeId } = guest.lookup(ROOT, "file");
  const value = Buffer.from("a\0b\xff", "latin1");
  assert.equal(set(guest, nodeId, "user.test", value).error, "");
  assert.equal(set(guest, nodeId, "user.test", value, 1).error, "EEXIST", "XATTR_CREATE");
  assert.equal(get(guest, nodeId, "user.test", 0).body.readUInt32LE(0), 4);
  assert.deepEqual(get(guest, nodeId, "user.test", 100).body, value);
  assert.equal(get(guest, nodeId, "user.test", 3).error, "ERANGE");
  assert.equal(get(guest, nodeId, "user.other", 100).error, "ENODATA");
  assert.equal(list(guest, nodeId, 0).body.readUInt32LE(0), 10);
  assert.equal(list(guest, nodeId, 100).body.toString(), "user.test\0");
  assert.equal(guest.send(Opcode.REMOVEXATTR, nodeId, [cstring("user.test")]).error, "");
  assert.equal(list(guest, nodeId, 100).body.length, 0);
  assert.equal(guest.send(Opcode.REMOVEXATTR, nodeId, [cstring("user.test")]).error, "ENODATA");
});

test("overlayfs's marks on directories reach the host", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t);
  mkdirSync(join(dir, "d"));
  const { nodeId } = guest.lookup(ROOT, "d");
  assert.equal(set(guest, nodeId, "trusted.overlay.opaque", Buffer.from("y")).error, "");
  assert.equal(get(guest, nodeId, "trusted.overlay.opaque", 8).body.toString(), "y");
  const script =
    "import os,sys; sys.stdout.write(os.getxattr(sys.argv[1],'trusted.overlay.opaque').decode())";
  assert.equal(execFileSync("python3", ["-c", script, join(dir, "d")], { encoding: "utf8" }), "y");
});

test("a symbolic link's attributes are its own", { skip: needsRoot }, (t) => {
  const { dir, outside, guest } = serveDirectory(t);
  writeFileSync(join(outside, "canary"), "");
  symlinkSync("../canary", join(dir, "link"));
  const { nodeId } = guest.lookup(ROOT, "link");
  assert.equal(set(guest, nodeId, "trusted.mine", Buffer.from("1")).error, "");
  assert.equal(get(guest, nodeId, "trusted.mine", 8).body.toString(), "1");
  const canary = execFileSync(
    "python3",
    ["-c", "import os,sys; print(os.listxattr(sys.argv[1]))", join(outside, "canary")],
    {
      encoding: "utf8",
    },
  );
  assert.equal(canary.trim(), "[]");
});

test("values that are cut short or too long are refused", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "");
  const { nodeId } = guest.lookup(ROOT, "file");
  const send = (size: number, bytes: Uint8Array) =>
    guest.send(Opcode.SETXATTR, nodeId, [u32(size, 0), bytes]).error;
  assert.equal(send(4, Buffer.from("user.a\0abc")), "EINVAL");
  assert.equal(send(4, Buffer.from("user.a")), "EINVAL");
  assert.equal(send(65537, Buffer.from("user.a\0abc")), "E2BIG");
  assert.equal(send(0, Buffer.from("\0")), "EINVAL");
  assert.equal(send(0, Buffer.from(`user.${"x".repeat(300)}\0`)), "ERANGE");
});
