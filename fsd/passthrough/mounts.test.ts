import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { FUSE_ATTR_SUBMOUNT, Opcode } from "../fuse/constants.js";
import type { FuseServerOptions } from "../fuse/fuse-server.js";
import { type Fixture, needsRoot, serveDirectory } from "../testing/fixture.js";
import { cannotFreeze, mountFreezable } from "../testing/frozen-file-system.js";
import { RecordedWindow } from "../testing/recorded-window.js";
import { cstring, ROOT, u32, u64 } from "../testing/test-guest.js";
import type { ExportOption } from "./export-policy.js";

/** A share with one image layer and one directory that the container writes to, laid out as the shim does. */
function serveSandbox(t: TestContext, options: Partial<FuseServerOptions> = {}): Fixture {
  const layers: ExportOption = { pattern: ["*", "lower", "*"], policy: "immutable" };
  const given = { dax: "inode", window: new RecordedWindow(1 << 24), exports: [layers], ...options } as const;
  return serveDirectory(t, given, (dir) => {
    const sources = join(dir, "..");
    for (const name of ["layer", "upper"]) {
      mkdirSync(join(sources, name));
      writeFileSync(join(sources, name, "file"), Buffer.alloc(100_000, name));
    }
    const lower = join(dir, "c1", "lower", "0");
    const upper = join(dir, "c1", "upper");
    mkdirSync(lower, { recursive: true });
    mkdirSync(upper);
    execFileSync("mount", ["--bind", join(sources, "layer"), lower]);
    execFileSync("mount", ["-o", "remount,bind,ro", lower]);
    execFileSync("mount", ["--bind", join(sources, "upper"), upper]);
    const memory = join(dir, "memory");
    mkdirSync(memory);
    execFileSync("mount", ["-t", "tmpfs", "kata-fsd-test", memory]);
    for (let index = 0; index < 100; index++) writeFileSync(join(memory, `f${index}`), "");
    t.after(() => {
      for (const path of [lower, upper, memory]) execFileSync("umount", ["-l", path]);
    });
  });
}

test("a read-only mount in the share refuses every change, with DAX for its files", {
  skip: needsRoot,
}, (t) => {
  const { dir, guest } = serveSandbox(t);
  const layer = guest.walk("c1/lower/0").nodeId;
  const file = guest.lookup(layer, "file");
  assert.equal(file.attr.flags, 2);
  const refused = [
    guest.send(Opcode.OPEN, file.nodeId, [u32(1, 0)]),
    guest.send(Opcode.OPEN, file.nodeId, [u32(2, 0)]),
    guest.send(Opcode.OPEN, file.nodeId, [u32(0o1000, 0)]),
    guest.send(Opcode.CREATE, layer, [u32(2, 0o600, 0, 0), cstring("new")]),
    guest.send(Opcode.CREATE, layer, [u32(2, 0o600, 0, 0), cstring("file")]),
    guest.send(Opcode.TMPFILE, layer, [u32(2, 0o600, 0, 0), cstring("new")]),
    guest.send(Opcode.MKDIR, layer, [u32(0o755, 0), cstring("new")]),
    guest.send(Opcode.MKNOD, layer, [u32(0o100644, 0, 0, 0), cstring("new")]),
    guest.send(Opcode.SYMLINK, layer, [cstring("new"), cstring("x")]),
    guest.send(Opcode.LINK, layer, [u64(file.nodeId), cstring("new")]),
    guest.send(Opcode.UNLINK, layer, [cstring("file")]),
    guest.send(Opcode.RMDIR, layer, [cstring("file")]),
    guest.send(Opcode.RENAME, layer, [u64(layer), cstring("file"), cstring("new")]),
    guest.send(Opcode.RENAME, guest.walk("c1/upper").nodeId, [u64(layer), cstring("file"), cstring("new")]),
    guest.send(Opcode.SETATTR, file.nodeId, [Buffer.alloc(88)]),
    guest.send(Opcode.SETXATTR, file.nodeId, [u32(1, 0), cstring("user.a"), Buffer.from("1")]),
    guest.send(Opcode.REMOVEXATTR, file.nodeId, [cstring("user.a")]),
    guest.send(Opcode.ACCESS, file.nodeId, [u32(2, 0)]),
  ];
  assert.deepEqual(
    refused.map(({ error }) => error),
    refused.map(() => "EROFS"),
  );
  assert.deepEqual(readdirSync(join(dir, "..", "layer")), ["file"]);
  assert.equal(guest.send(Opcode.OPEN, file.nodeId, [u32(0, 0)]).error, "");
});

test("a writable mount beside it is written to, without DAX", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveSandbox(t);
  const upper = guest.walk("c1/upper").nodeId;
  assert.equal(guest.lookup(upper, "file").attr.flags, 0);
  const { entry, fh } = guest.create(upper, "new", 2, 0o600);
  guest.write(entry.nodeId, fh, 0, Buffer.from("written"));
  assert.equal(readFileSync(join(dir, "..", "upper", "new"), "latin1"), "written");
  const across = guest.send(Opcode.LINK, ROOT, [u64(entry.nodeId), cstring("across")]);
  assert.equal(across.error, "EXDEV");
});

test("a read-only device refuses changes on writable mounts too", { skip: needsRoot }, (t) => {
  const { guest } = serveSandbox(t, { readOnly: true });
  const upper = guest.walk("c1/upper").nodeId;
  assert.equal(guest.send(Opcode.MKDIR, upper, [u32(0o755, 0), cstring("new")]).error, "EROFS");
});

test("numbers of different file systems never meet", { skip: needsRoot }, (t) => {
  const { guest } = serveSandbox(t);
  const memory = guest.walk("memory").nodeId;
  const file = guest.lookup(memory, "f0");
  assert.equal(file.attr.ino >> 48n, 1n, "the second file system of the share");
  assert.equal(guest.getattr(guest.walk("c1/upper/file").nodeId).ino >> 48n, 0n);
  const listed = guest.list(memory).find(({ name }) => name === "f0");
  assert.equal(listed?.ino, file.attr.ino, "READDIR tells the same number");
});

test("a mount that came after the share was started is seen, one that is gone is let go", {
  skip: needsRoot,
}, (t) => {
  const { dir, guest, metrics } = serveSandbox(t);
  mkdirSync(join(dir, "late"));
  const before = guest.lookup(ROOT, "late").nodeId;
  execFileSync("mount", ["-t", "tmpfs", "kata-fsd-test", join(dir, "late")]);
  const { nodeId: mounted, attr } = guest.lookup(ROOT, "late");
  assert.equal(attr.flags & FUSE_ATTR_SUBMOUNT, FUSE_ATTR_SUBMOUNT, "the guest is to mount it");
  assert.equal(guest.getattr(mounted).flags & FUSE_ATTR_SUBMOUNT, 0, "its root is a directory like others");
  assert.notEqual(mounted, before);
  guest.create(mounted, "file", 2, 0o600);
  execFileSync("umount", ["-l", join(dir, "late")]);
  assert.equal(guest.lookup(ROOT, "late").nodeId, before);
  const held = metrics.inodesLive;
  guest.forget(mounted, 1n);
  assert.equal(metrics.inodesLive, held - 1);
});

test("without announce-submounts the guest sees one file system", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveSandbox(t, { announceSubmounts: false });
  mkdirSync(join(dir, "late"));
  execFileSync("mount", ["-t", "tmpfs", "kata-fsd-test", join(dir, "late")]);
  const { attr } = guest.lookup(ROOT, "late");
  execFileSync("umount", ["-l", join(dir, "late")]);
  assert.equal(attr.flags & FUSE_ATTR_SUBMOUNT, 0);
});

test("SYNCFS of the root reaches the disks of mounts that are one file system with it to the guest", {
  skip: cannotFreeze,
}, (t) => {
  const disk = mountFreezable(t);
  const { guest } = serveDirectory(t, { announceSubmounts: false }, (dir) => {
    mkdirSync(join(dir, "upper"));
    execFileSync("mount", ["--bind", disk.dir, join(dir, "upper")]);
    t.after(() => execFileSync("umount", ["-l", join(dir, "upper")]));
  });
  const { entry, fh } = guest.create(guest.lookup(ROOT, "upper").nodeId, "file", 2, 0o600);
  const text = "is on the disk when SYNCFS has returned";
  guest.write(entry.nodeId, fh, 0, Buffer.from(text));
  guest.call(Opcode.SYNCFS, ROOT, [u64(0n)]);
  assert.ok(readFileSync(disk.image).includes(text));
});
