import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { descriptorLimit } from "../../lib/sys/resource-limit.js";
import { openDescriptors } from "../../lib/sys/testing/open-descriptors.js";
import { Opcode } from "../fuse/constants.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { cstring, ROOT, type TestGuest, u32, u64 } from "../testing/test-guest.js";

const root = { skip: needsRoot };

/** What this process's descriptors below `dir` refer to. */
function openBelow(dir: string): string[] {
  return openDescriptors().filter((path) => path.startsWith(dir));
}

/** A new directory on a file system of its own. */
function mountTmpfs(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-tmpfs-"));
  execFileSync("mount", ["-t", "tmpfs", "kata-fsd-test", dir]);
  t.after(() => {
    execFileSync("umount", ["-l", dir]);
    rmdirSync(dir);
  });
  return dir;
}

/** Opens so many other inodes that no other descriptor is left open for the time being. */
function useOthers(dir: string, guest: TestGuest): void {
  for (let index = 0; index < 1024 + 10; index++) {
    const name = `other${index}`;
    writeFileSync(join(dir, name), "");
    guest.getattr(guest.lookup(ROOT, name).nodeId);
  }
  // What was used of late is spared once.
  for (let index = 0; index < 1024 + 10; index++) guest.getattr(guest.lookup(ROOT, `other${index}`).nodeId);
}

for (const inodeFileHandles of ["never", "prefer"] as const) {
  test(
    `file handles ${inodeFileHandles}: inodes are known without descriptors, and found again`,
    root,
    (t) => {
      const { dir, guest } = serveDirectory(t, { inodeFileHandles });
      const nodes = new Map<string, bigint>();
      mkdirSync(join(dir, "d"));
      const directory = guest.lookup(ROOT, "d").nodeId;
      for (let index = 0; index < 1500; index++) {
        // Names and handles are stored in two ways, by their length.
        const name = `f${index}${"x".repeat(index % 250)}`;
        writeFileSync(join(dir, "d", name), String(index));
        nodes.set(name, guest.lookup(directory, name).nodeId);
      }
      assert.ok(openBelow(dir).length < 10, "little more than the root is open");
      for (const [name, nodeId] of nodes) {
        assert.equal(guest.getattr(nodeId).ino, statSync(join(dir, "d", name), { bigint: true }).ino);
        const fh = guest.open(nodeId);
        assert.equal(guest.read(nodeId, fh, 0, 10).toString(), Number.parseInt(name.slice(1), 10).toString());
        guest.release(nodeId, fh);
      }
      assert.ok(
        openBelow(dir).length <= 1024 + 2,
        "a bounded number stays open: inodes, the root, its mount",
      );
    },
  );

  test(`file handles ${inodeFileHandles}: the guest moves what it knows`, root, (t) => {
    const { dir, guest } = serveDirectory(t, { inodeFileHandles });
    mkdirSync(join(dir, "a/b/c"), { recursive: true });
    mkdirSync(join(dir, "to"));
    for (const name of ["file", "one", "two"]) writeFileSync(join(dir, "a/b/c", name), name);
    const to = guest.lookup(ROOT, "to").nodeId;
    const c = guest.walk("a/b/c").nodeId;
    const [file = 0n, one = 0n, two = 0n] = ["file", "one", "two"].map(
      (name) => guest.lookup(c, name).nodeId,
    );
    guest.call(Opcode.RENAME, ROOT, [u64(to), cstring("a"), cstring("moved")]);
    guest.call(Opcode.RENAME, c, [u64(to), cstring("file"), cstring("f".repeat(255))]);
    guest.call(Opcode.RENAME2, c, [u64(c), u32(2, 0), cstring("one"), cstring("two")]);
    guest.call(Opcode.RENAME2, to, [u64(c), u32(2, 0), cstring("f".repeat(255)), cstring("one")]);
    useOthers(dir, guest);
    for (const [nodeId, content] of [
      [file, "file"],
      [one, "one"],
      [two, "two"],
    ] as const) {
      assert.equal(guest.read(nodeId, guest.open(nodeId), 0, 10).toString(), content);
    }
    assert.equal(guest.walk("to/moved/b/c").nodeId, c);
    assert.equal(guest.lookup(c, "one").nodeId, file);
  });

  test(
    `file handles ${inodeFileHandles}: what is below a directory outlives the guest's knowledge of it`,
    root,
    (t) => {
      const { dir, guest, metrics } = serveDirectory(t, { inodeFileHandles });
      mkdirSync(join(dir, "a/b/c"), { recursive: true });
      const [a = 0n, b = 0n, c = 0n] = ["a", "a/b", "a/b/c"].map((path) => guest.walk(path).nodeId);
      for (const nodeId of [a, b]) guest.forget(nodeId, 100n);
      assert.equal(metrics.inodesLive, 1);
      assert.equal(guest.send(Opcode.GETATTR, b, [Buffer.alloc(16)]).error, "ESTALE");
      guest.getattr(c);
      guest.forget(c, 100n);
      assert.equal(metrics.inodesLive, 0);
      const again = guest.walk("a/b/c");
      assert.equal(again.attr.ino, statSync(join(dir, "a/b/c"), { bigint: true }).ino);
      assert.equal(metrics.inodesLive, 3);
    },
  );
}

test("with handles, what the host renames stays what it is", root, (t) => {
  const { dir, guest } = serveDirectory(t, { inodeFileHandles: "prefer" });
  mkdirSync(join(dir, "a/b"), { recursive: true });
  writeFileSync(join(dir, "a/b/file"), "content");
  const directory = guest.walk("a/b").nodeId;
  const file = guest.walk("a/b/file").nodeId;
  renameSync(join(dir, "a"), join(dir, "moved"));
  renameSync(join(dir, "moved/b/file"), join(dir, "elsewhere"));
  useOthers(dir, guest);
  assert.equal(guest.read(file, guest.open(file), 0, 10).toString(), "content");
  assert.equal(guest.send(Opcode.LOOKUP, directory, [cstring("file")]).error, "ENOENT");
  assert.equal(guest.lookup(ROOT, "elsewhere").nodeId, file);
  assert.equal(guest.walk("moved/b").nodeId, directory);
});

test("without handles, what the host renames is stale until it is looked up again", root, (t) => {
  const { dir, guest } = serveDirectory(t, { inodeFileHandles: "never" });
  mkdirSync(join(dir, "a/b"), { recursive: true });
  writeFileSync(join(dir, "a/b/file"), "content");
  const known = guest.walk("a/b/file").nodeId;
  renameSync(join(dir, "a"), join(dir, "moved"));
  mkdirSync(join(dir, "a/b"), { recursive: true });
  writeFileSync(join(dir, "a/b/file"), "another");
  useOthers(dir, guest);
  assert.equal(guest.send(Opcode.GETATTR, known, [Buffer.alloc(16)]).error, "ESTALE");
  const another = guest.walk("a/b/file").nodeId;
  assert.notEqual(another, known);
  assert.equal(guest.read(another, guest.open(another), 0, 10).toString(), "another");
  assert.equal(guest.walk("moved/b/file").nodeId, known);
  assert.equal(guest.read(known, guest.open(known), 0, 10).toString(), "content");
});

test("without handles, what the host removes while the guest has it open stays usable", root, (t) => {
  const { dir, guest } = serveDirectory(t, { inodeFileHandles: "never" });
  mkdirSync(join(dir, "d"));
  writeFileSync(join(dir, "file"), "content");
  const file = guest.lookup(ROOT, "file").nodeId;
  const directory = guest.lookup(ROOT, "d").nodeId;
  const handles = [guest.open(file), guest.opendir(directory)];
  rmSync(join(dir, "file"));
  rmdirSync(join(dir, "d"));
  writeFileSync(join(dir, "file"), "another");
  useOthers(dir, guest);
  assert.equal(guest.getattr(file).nlink, 0);
  assert.equal(guest.getattr(directory).mode & 0o170000, 0o040000);
  guest.release(file, handles[0] ?? 0n);
  assert.equal(guest.read(file, guest.open(file), 0, 20).toString(), "content");
});

test("without handles, a mount over a known directory hides it, and does not become it", root, (t) => {
  const share = mountTmpfs(t);
  const { guest } = serveDirectory(t, { root: share, inodeFileHandles: "never" });
  mkdirSync(join(share, "d"));
  writeFileSync(join(share, "d", "below"), "");
  const below = guest.lookup(ROOT, "d").nodeId;
  execFileSync("mount", ["-t", "tmpfs", "kata-fsd-test", join(share, "d")]);
  useOthers(share, guest);
  assert.equal(guest.send(Opcode.LOOKUP, below, [cstring("below")]).error, "ESTALE");
  assert.notEqual(guest.lookup(ROOT, "d").nodeId, below);
  execFileSync("umount", ["-l", join(share, "d")]);
  assert.equal(guest.lookup(ROOT, "d").nodeId, below);
  guest.lookup(below, "below");
});

for (const inodeFileHandles of ["never", "prefer"] as const) {
  test(
    `file handles ${inodeFileHandles}: what the guest removes stays usable until it forgets it`,
    root,
    (t) => {
      const { dir, guest, metrics } = serveDirectory(t, { inodeFileHandles });
      mkdirSync(join(dir, "d"));
      for (const name of ["unlinked", "replaced", "new"]) writeFileSync(join(dir, name), name);
      const nodes = ["d", "unlinked", "replaced"].map((name) => guest.lookup(ROOT, name).nodeId);
      const [directory = 0n, unlinked = 0n, replaced = 0n] = nodes;
      guest.call(Opcode.RMDIR, ROOT, [cstring("d")]);
      guest.call(Opcode.UNLINK, ROOT, [cstring("unlinked")]);
      guest.call(Opcode.RENAME, ROOT, [u64(ROOT), cstring("new"), cstring("replaced")]);
      // Numbers of deleted inodes are given out again at once by some file systems.
      for (let index = 0; index < 20; index++) {
        writeFileSync(join(dir, `later${index}`), "");
        const { nodeId } = guest.lookup(ROOT, `later${index}`);
        assert.ok(!nodes.includes(nodeId));
      }
      assert.ok(guest.getattr(directory).nlink <= 1);
      assert.equal(guest.send(Opcode.LOOKUP, directory, [cstring("x")]).error, "ENOENT");
      for (const [nodeId, content] of [
        [unlinked, "unlinked"],
        [replaced, "replaced"],
      ] as const) {
        assert.equal(guest.getattr(nodeId).nlink, 0);
        assert.equal(guest.read(nodeId, guest.open(nodeId), 0, 20).toString(), content);
      }
      const live = metrics.inodesLive;
      for (const nodeId of nodes) guest.forget(nodeId, 1n);
      assert.equal(metrics.inodesLive, live - 3);
      assert.deepEqual(
        openBelow(dir).filter(
          (path) => path.endsWith("(deleted)") && !path.includes("replaced") && !path.includes("unlinked"),
        ),
        [],
      );
    },
  );
}

test("an inode keeps no descriptor for a name that was not removed, nor for one of several", root, (t) => {
  const { dir, guest } = serveDirectory(t);
  mkdirSync(join(dir, "full/inner"), { recursive: true });
  writeFileSync(join(dir, "one"), "");
  linkSync(join(dir, "one"), join(dir, "two"));
  const full = guest.lookup(ROOT, "full").nodeId;
  const one = guest.lookup(ROOT, "one").nodeId;
  assert.equal(guest.send(Opcode.RMDIR, ROOT, [cstring("full")]).error, "ENOTEMPTY");
  guest.call(Opcode.UNLINK, ROOT, [cstring("one")]);
  const names = Array.from({ length: 1100 }, (_, index) => `other${index}`);
  for (const name of names) {
    writeFileSync(join(dir, name), "");
    guest.getattr(guest.lookup(ROOT, name).nodeId);
  }
  assert.deepEqual(openBelow(join(dir, "full")), [], "its place was wanted by others");
  assert.equal(guest.getattr(one).nlink, 1);
  assert.equal(guest.lookup(ROOT, "two").nodeId, one);
  assert.equal(guest.lookup(ROOT, "full").nodeId, full);
});

for (const inodeFileHandles of ["never", "prefer"] as const) {
  test(
    `file handles ${inodeFileHandles}: an inode that the host deletes is stale, and a later one with its number is another`,
    root,
    (t) => {
      const { dir, guest } = serveDirectory(t, { inodeFileHandles });
      const known = new Map<bigint, bigint>();
      let reused = 0;
      for (let index = 0; index < 200; index++) {
        const path = join(dir, `f${index}`);
        writeFileSync(path, "");
        const { nodeId, attr } = guest.lookup(ROOT, `f${index}`);
        const before = known.get(attr.ino);
        if (before !== undefined) {
          reused++;
          assert.notEqual(nodeId, before);
          assert.equal(guest.send(Opcode.GETATTR, before, [Buffer.alloc(16)]).error, "ESTALE");
        }
        known.set(attr.ino, nodeId);
        // One in two is there again under its name, with another content: without handles only the identity tells.
        unlinkSync(path);
        if (index % 2 === 0) writeFileSync(path, "another");
      }
      t.diagnostic(`${reused} numbers came back`);
    },
  );
}

test("a file without a name stays usable, and gets one", root, (t) => {
  const { dir, guest } = serveDirectory(t, { root: mountTmpfs(t) });
  const body = guest.call(Opcode.TMPFILE, ROOT, [u32(0o100002, 0o600, 0, 0), cstring("x")]);
  const nodeId = body.readBigUInt64LE(0);
  const fh = body.readBigUInt64LE(128);
  guest.write(nodeId, fh, 0, Buffer.from("text"));
  guest.call(Opcode.RELEASE, nodeId, [u64(fh), u32(0, 0), u64(0n)]);
  assert.equal(guest.getattr(nodeId).nlink, 0);
  guest.call(Opcode.LINK, ROOT, [u64(nodeId), cstring("named")]);
  assert.equal(guest.lookup(ROOT, "named").nodeId, nodeId);
  assert.deepEqual(readdirSync(dir), []);
});

test("objects of every type are found again by their handles", root, (t) => {
  const share = mountTmpfs(t);
  const { guest } = serveDirectory(t, { root: share });
  execFileSync("mkfifo", [join(share, "fifo")]);
  execFileSync("mknod", [join(share, "device"), "c", "1", "3"]);
  symlinkSync("fifo", join(share, "link"));
  mkdirSync(join(share, "directory"));
  for (const name of ["fifo", "device", "link", "directory"]) {
    const { nodeId, attr } = guest.lookup(ROOT, name);
    assert.deepEqual(guest.getattr(nodeId), attr);
    guest.call(Opcode.SETATTR, nodeId, [setOwner(7)]);
    assert.equal(guest.getattr(nodeId).uid, 7);
  }
  assert.equal(guest.call(Opcode.READLINK, guest.lookup(ROOT, "link").nodeId, []).toString(), "fifo");
  assert.equal(guest.send(Opcode.OPEN, guest.lookup(ROOT, "fifo").nodeId, [u32(0, 0)]).error, "ENXIO");
});

/** struct fuse_setattr_in that sets the owner. */
function setOwner(uid: number): Buffer {
  const body = Buffer.alloc(88);
  body.writeUInt32LE(1 << 1, 0);
  body.writeUInt32LE(uid, 76);
  return body;
}

test("mandatory file handles: a file system without them is not served", root, (t) => {
  const share = mountOverlay(t);
  assert.throws(
    () => serveDirectory(t, { inodeFileHandles: "mandatory", root: share }),
    /open_by_handle_at .*: ENOTSUP/,
  );
  const { guest } = serveDirectory(t, { inodeFileHandles: "prefer", root: share });
  assert.equal(guest.lookup(ROOT, "file").attr.size, 5);
});

test("where only descriptors will do, there are so many and no more, and no entry is left out", root, (t) => {
  const share = mountOverlay(t);
  const limit = descriptorLimit();
  const setLimit = (soft: number) =>
    execFileSync("prlimit", [`--pid=${process.pid}`, `--nofile=${soft}:${limit.hard}`]);
  t.after(() => setLimit(limit.soft));
  setLimit(2048);
  for (let index = 0; index < 400; index++) writeFileSync(join(share, `f${index}`), "");
  const { guest, metrics } = serveDirectory(t, { root: share });
  const before = openDescriptors().length;
  const entries = guest.list(ROOT, 60_000, true).filter(({ name }) => name.startsWith("f"));
  assert.equal(entries.length, 401);
  const known = entries.filter(({ nodeId }) => nodeId !== 0n);
  assert.ok(known.length > 200 && known.length < 300, `${known.length}`);
  const opened = openDescriptors().length - before;
  assert.equal(opened, known.length, "a descriptor of each, and those of the daemon itself are left alone");
  const refused = entries.find(({ nodeId }) => nodeId === 0n)?.name ?? "";
  for (let tries = 0; tries < 1000; tries++) {
    assert.equal(guest.send(Opcode.LOOKUP, ROOT, [cstring(refused)]).error, "ENFILE");
  }
  assert.equal(openDescriptors().length - before, opened, "what is refused leaves nothing");
  for (const { nodeId } of known) guest.forget(nodeId, 1n);
  assert.equal(metrics.inodesLive, 0);
  assert.equal(openDescriptors().length, before);
  guest.getattr(guest.lookup(ROOT, refused).nodeId);
});

/** An overlay, which has no handles that can be opened unless it was mounted for that. */
function mountOverlay(t: TestContext): string {
  const dir = mountTmpfs(t);
  for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(join(dir, name));
  writeFileSync(join(dir, "lower/file"), "lower");
  const merged = join(dir, "merged");
  const options = `lowerdir=${dir}/lower,upperdir=${dir}/upper,workdir=${dir}/work`;
  execFileSync("mount", ["-t", "overlay", "-o", options, "kata-fsd-test", merged]);
  return merged;
}

test("a guest that ends its session, or goes, leaves no descriptor", root, (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "");
  const before = openDescriptors().length;
  for (const end of [() => guest.server.reset(), () => guest.call(Opcode.DESTROY, 0n, [])]) {
    guest.getattr(guest.lookup(ROOT, "file").nodeId);
    const { entry } = guest.create(ROOT, "removed", 2, 0o600);
    guest.call(Opcode.UNLINK, ROOT, [cstring("removed")]);
    assert.equal(guest.getattr(entry.nodeId).nlink, 0);
    end();
    assert.equal(openDescriptors().length, before);
    guest.init();
  }
});

test("a mount is let go with its last inode", root, (t) => {
  const share = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  t.after(() => rmSync(share, { recursive: true }));
  const { guest } = serveDirectory(t, { root: share });
  mkdirSync(join(share, "m"));
  execFileSync("mount", ["-t", "tmpfs", "kata-fsd-test", join(share, "m")]);
  const { nodeId } = guest.lookup(ROOT, "m");
  assert.throws(() => execFileSync("umount", [join(share, "m")], { stdio: "ignore" }), "it is in use");
  guest.forget(nodeId, 1n);
  execFileSync("umount", [join(share, "m")]);
});
