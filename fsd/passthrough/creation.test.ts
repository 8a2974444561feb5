import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Opcode } from "../fuse/constants.js";
import type { FuseServerOptions } from "../fuse/fuse-server.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { hostGet } from "../testing/host-xattr.js";
import { cstring, ROOT, u32 } from "../testing/test-guest.js";

/** struct fuse_ext_header of type FUSE_EXT_GROUPS with one group. */
const groupExtension = (gid: number) => u32(16, 32, 1, gid);

/** struct fuse_secctx_header with one context. */
function label(name: string, value: string): Buffer {
  const bytes = Buffer.concat([u32(value.length, 0), cstring(name), Buffer.from(value)]);
  const padded = Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
  return Buffer.concat([u32(8 + padded.length, 1), padded]);
}

test("what is made in a set-group-id directory has its group, and keeps the bit that the guest left", {
  skip: needsRoot,
}, (t) => {
  const { dir, guest } = serveDirectory(t, {}, (path) => {
    mkdirSync(join(path, "team"));
    chownSync(join(path, "team"), 0, 2000);
    chmodSync(join(path, "team"), 0o2775);
  });
  const team = guest.lookup(ROOT, "team").nodeId;
  guest.uid = 1000;
  guest.gid = 1000;
  guest.extensions = groupExtension(2000);
  guest.create(team, "file", 2, 0o2755, 0o022);
  guest.call(Opcode.MKDIR, team, [u32(0o755, 0o022), cstring("directory")]);
  guest.call(Opcode.MKNOD, team, [u32(0o010644, 0, 0, 0), cstring("fifo")]);
  guest.call(Opcode.SYMLINK, team, [cstring("link"), cstring("target")]);
  for (const name of ["file", "directory", "fifo"]) {
    const { uid, gid } = statSync(join(dir, "team", name));
    assert.deepEqual([uid, gid], [1000, 2000], name);
  }
  assert.equal(statSync(join(dir, "team", "file")).mode & 0o7777, 0o2755);
  assert.equal(statSync(join(dir, "team", "directory")).mode & 0o7777, 0o2755);
});

test("extensions that are not what they say are refused, and nothing is made", (t) => {
  const { dir, guest } = serveDirectory(t, {});
  for (const extensions of [
    u32(4, 32), // shorter than its header
    u32(24, 32, 1, 0), // longer than the request
    u32(16, 32, 2, 0), // more groups than there are
    u32(16, 32, 0xffff_ffff, 0),
    u32(16, 1, 100, 0), // a label longer than the request
    u32(8, 1), // no label where there should be one
  ]) {
    guest.extensions = extensions;
    assert.equal(guest.send(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring("d")]).error, "EINVAL");
    assert.equal(guest.send(Opcode.CREATE, ROOT, [u32(2, 0o644, 0, 0), cstring("f")]).error, "EINVAL");
  }
  assert.deepEqual(readdirSync(dir), []);
});

test("a new file has the label that the guest wants for it, or is not made", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t, { securityLabel: "auto" });
  guest.extensions = label("user.label", "secret");
  guest.create(ROOT, "file", 2, 0o644);
  guest.call(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring("directory")]);
  for (const name of ["file", "directory"]) {
    assert.equal(hostGet(join(dir, name), "user.label"), "secret", name);
  }
  guest.extensions = label("nonsense", "x");
  assert.notEqual(guest.send(Opcode.CREATE, ROOT, [u32(2, 0o644, 0, 0), cstring("no")]).error, "");
  assert.notEqual(guest.send(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring("neither")]).error, "");
  assert.notEqual(guest.send(Opcode.TMPFILE, ROOT, [u32(2, 0o644, 0, 0), cstring("")]).error, "");
  assert.deepEqual(readdirSync(dir).sort(), ["directory", "file"]);
  guest.extensions = Buffer.alloc(0);
  guest.create(ROOT, "plain", 2, 0o644);
  assert.equal(existsSync(join(dir, "plain")), true);
});

function setDefaultAcl(path: string): boolean {
  try {
    execFileSync("setfacl", ["-d", "-m", "u::rwx,g::rwx,o::rwx", path], { stdio: "ignore" });
    return true;
  } catch {
    return false; // No setfacl on this machine, or no ACLs on this file system.
  }
}

for (const posixAcl of ["never", "always"] as const) {
  test(`the umask, with posix-acl=${posixAcl}`, { skip: needsRoot }, (t) => {
    const options: Partial<FuseServerOptions> = { posixAcl };
    let hasAcl = false;
    const { dir, guest } = serveDirectory(t, options, (path) => {
      mkdirSync(join(path, "inherits"));
      hasAcl = setDefaultAcl(join(path, "inherits"));
    });
    guest.create(ROOT, "file", 2, 0o666, 0o027);
    assert.equal(statSync(join(dir, "file")).mode & 0o777, 0o640);
    guest.create(ROOT, "next", 2, 0o666, 0);
    assert.equal(statSync(join(dir, "next")).mode & 0o777, 0o666, "it holds for one request");
    if (!hasAcl) return;
    const inherits = guest.lookup(ROOT, "inherits").nodeId;
    guest.create(inherits, "file", 2, 0o666, 0o027);
    assert.equal(
      statSync(join(dir, "inherits", "file")).mode & 0o777,
      0o666,
      "an inherited ACL takes its place",
    );
  });
}
