import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Opcode } from "../fuse/constants.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { hostList, hostSet } from "../testing/host-xattr.js";
import { cstring, ROOT, type TestGuest, u32 } from "../testing/test-guest.js";
import { parseXattrMap } from "../xattr-map/rules.js";

const set = (guest: TestGuest, nodeId: bigint, name: string, value: Uint8Array, flags = 0) =>
  guest.send(Opcode.SETXATTR, nodeId, [u32(value.length, flags), cstring(name), value]);
const get = (guest: TestGuest, nodeId: bigint, name: string, size: number) =>
  guest.send(Opcode.GETXATTR, nodeId, [u32(size, 0), cstring(name)], Math.max(size, 8));
const remove = (guest: TestGuest, nodeId: bigint, name: string) =>
  guest.send(Opcode.REMOVEXATTR, nodeId, [cstring(name)]);
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

test("names are renamed by the rules, and what the rules hide is not there", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t, { xattrMap: parseXattrMap("/map/trusted./user.vm./") });
  writeFileSync(join(dir, "file"), "");
  const path = join(dir, "file");
  const { nodeId } = guest.lookup(ROOT, "file");
  assert.equal(set(guest, nodeId, "trusted.a", Buffer.from("1")).error, "");
  hostSet(path, "trusted.b", "2");
  hostSet(path, "user.c", "3");
  assert.deepEqual(hostList(path), ["trusted.b", "user.c", "user.vm.trusted.a"]);
  assert.equal(get(guest, nodeId, "trusted.a", 8).body.toString(), "1");
  assert.equal(get(guest, nodeId, "trusted.b", 8).error, "ENODATA");

  const shown = "trusted.a\0user.c\0";
  assert.equal(list(guest, nodeId, 0).body.readUInt32LE(0), shown.length);
  assert.equal(list(guest, nodeId, shown.length - 1).error, "ERANGE");
  const names = list(guest, nodeId, shown.length).body.toString().split("\0").sort();
  assert.deepEqual(names, ["", "trusted.a", "user.c"]);

  assert.equal(set(guest, nodeId, "user.vm.trusted.a", Buffer.from("x")).error, "EPERM");
  assert.equal(get(guest, nodeId, "user.vm.trusted.a", 8).error, "ENODATA");
  assert.equal(remove(guest, nodeId, "user.vm.trusted.a").error, "EPERM");
  assert.equal(set(guest, nodeId, `trusted.${"x".repeat(247)}`, Buffer.from("")).error, "ERANGE");
  assert.equal(remove(guest, nodeId, "trusted.a").error, "");
  assert.deepEqual(hostList(path), ["trusted.b", "user.c"]);
});

test("names that the rules do not support are unknown", (t) => {
  const { dir, guest } = serveDirectory(t, {
    xattrMap: parseXattrMap("/unsupported/all/user.a/user.a//ok/all///"),
  });
  writeFileSync(join(dir, "file"), "");
  const { nodeId } = guest.lookup(ROOT, "file");
  assert.equal(set(guest, nodeId, "user.a", Buffer.from("1")).error, "ENOTSUP");
  assert.equal(get(guest, nodeId, "user.a", 8).error, "ENOTSUP");
  assert.equal(remove(guest, nodeId, "user.a").error, "ENOTSUP");
  assert.equal(set(guest, nodeId, "user.b", Buffer.from("1")).error, "");
});

test("on what can have none, a renamed attribute is unknown, not forbidden", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t, { xattrMap: parseXattrMap("/map/trusted./user.vm./") });
  symlinkSync("nowhere", join(dir, "link"));
  execFileSync("mkfifo", [join(dir, "fifo")]);
  for (const name of ["link", "fifo"]) {
    const { nodeId } = guest.lookup(ROOT, name);
    assert.equal(set(guest, nodeId, "trusted.a", Buffer.from("1")).error, "ENOTSUP", name);
    assert.equal(get(guest, nodeId, "trusted.a", 8).error, "ENODATA", name);
    assert.equal(set(guest, nodeId, "user.a", Buffer.from("1")).error, "EPERM", name);
  }
});

test("a guest that does not check ACLs sees none", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t);
  const path = join(dir, "file");
  writeFileSync(path, "");
  // Version 2: user::rw-, user:1:r--, group::r--, mask::r--, other::---
  const acl = Buffer.from(
    "0200000001000600ffffffff020004000100000004000400ffffffff10000400ffffffff20000000ffffffff",
    "hex",
  );
  hostSet(path, "system.posix_acl_access", acl.toString("latin1"));
  assert.deepEqual(hostList(path), ["system.posix_acl_access"]);
  const { nodeId } = guest.lookup(ROOT, "file");
  assert.equal(list(guest, nodeId, 0).body.readUInt32LE(0), 0);
  assert.equal(get(guest, nodeId, "system.posix_acl_access", 100).error, "ENOTSUP");
  assert.equal(set(guest, nodeId, "system.posix_acl_access", acl).error, "ENOTSUP");
});

test("a write takes the capabilities from a file, whatever their name on the host", {
  skip: needsRoot,
}, (t) => {
  for (const rules of [":map::user.vm.:", ":ok:all:::"]) {
    const { dir, guest } = serveDirectory(t, { xattrMap: parseXattrMap(rules) });
    const path = join(dir, "file");
    writeFileSync(path, "content");
    const { nodeId } = guest.lookup(ROOT, "file");
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    assert.equal(set(guest, nodeId, "security.capability", capability).error, "");
    assert.equal(set(guest, nodeId, "user.other", capability).error, "");
    assert.equal(hostList(path).length, 2);
    const fh = guest.open(nodeId, 2);
    assert.deepEqual(guest.write(nodeId, fh, 0, Buffer.from("new")).error, "");
    assert.equal(get(guest, nodeId, "security.capability", 100).error, "ENODATA", rules);
    assert.equal(hostList(path).length, 1, rules);
    assert.equal(guest.write(nodeId, fh, 0, Buffer.from("again")).error, "");
    guest.release(nodeId, fh);
  }
});
