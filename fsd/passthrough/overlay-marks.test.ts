import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { MARK_NAME, MarkOperation } from "../../lib/overlay-marks/message.js";
import { Opcode } from "../fuse/constants.js";
import { parseExport } from "../options/export-option.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { hostGet, hostList, hostSet } from "../testing/host-xattr.js";
import { cstring, readEntry, type TestGuest, u32 } from "../testing/test-guest.js";
import type { MarkBroker } from "./mark-broker.js";

const options = { skip: needsRoot };
const exports = ["*/lower/*:immutable,overlay", "*/upper:exclusive,overlay"].map(parseExport);

/** Does what the shim does, and remembers what it was asked. */
class DirectBroker implements MarkBroker {
  readonly path = new Uint8Array(4096);
  readonly asked: string[] = [];
  dir = "";

  ask(operation: MarkOperation, inodeLow: number, _inodeHigh: number, pathBytes: number): number {
    const path = Buffer.from(this.path.subarray(0, pathBytes)).toString();
    const full = join(this.dir, path);
    this.asked.push(`${Object.keys(MarkOperation)[operation - 1]} ${path}`);
    const found = execFileSync("stat", ["-c", "%i", full], { encoding: "utf8" }).trim();
    assert.equal(Number(found) % 2 ** 32, inodeLow);
    if (operation === MarkOperation.read) return hostGet(full, MARK_NAME)?.charCodeAt(0) ?? 0;
    if (operation === MarkOperation.set) hostSet(full, MARK_NAME, "y");
    else execFileSync("python3", ["-c", `import os,sys; os.removexattr(sys.argv[1], "${MARK_NAME}")`, full]);
    return 0;
  }
}

function fixture(t: TestContext) {
  const markBroker = new DirectBroker();
  const served = serveDirectory(t, { markBroker, exports }, (dir) => {
    markBroker.dir = dir;
    for (const name of ["c1/lower/0/d/e", "c1/upper/fs/d", "c1/upper/work", "c1/rootfs"])
      mkdirSync(join(dir, name), { recursive: true });
  });
  return { ...served, broker: markBroker };
}

const set = (guest: TestGuest, nodeId: bigint, name: string, value: string, flags = 0) =>
  guest.send(Opcode.SETXATTR, nodeId, [u32(value.length, flags), cstring(name), Buffer.from(value)]).error;
const get = (guest: TestGuest, nodeId: bigint, name: string, size = 100) => {
  const { error, body } = guest.send(Opcode.GETXATTR, nodeId, [u32(size, 0), cstring(name)], 100);
  return error === "" ? body.toString() : error;
};
const remove = (guest: TestGuest, nodeId: bigint, name: string) =>
  guest.send(Opcode.REMOVEXATTR, nodeId, [cstring(name)]).error;

test("opaque directories of layers are seen, and asked for once", options, (t) => {
  const { dir, guest, broker } = fixture(t);
  hostSet(join(dir, "c1/lower/0/d"), MARK_NAME, "y");
  const marked = guest.walk("c1/lower/0/d").nodeId;
  const plain = guest.walk("c1/lower/0/d/e").nodeId;
  for (let time = 0; time < 3; time++) {
    assert.equal(get(guest, marked, MARK_NAME), "y");
    assert.equal(get(guest, plain, MARK_NAME), "ENODATA");
  }
  assert.equal(guest.send(Opcode.GETXATTR, marked, [u32(0, 0), cstring(MARK_NAME)]).body.readUInt32LE(0), 1);
  assert.deepEqual(broker.asked, ["read c1/lower/0/d", "read c1/lower/0/d/e"]);
  assert.equal(set(guest, plain, MARK_NAME, "y"), "EROFS");
});

test("what is known of an inode is forgotten with it", options, (t) => {
  const { dir, guest, broker } = fixture(t);
  const parent = guest.walk("c1/lower/0").nodeId;
  const first = guest.lookup(parent, "d").nodeId;
  assert.equal(get(guest, first, MARK_NAME), "ENODATA");
  guest.forget(first, 1n);
  hostSet(join(dir, "c1/lower/0/d"), MARK_NAME, "y");
  const second = guest.lookup(parent, "d").nodeId;
  assert.notEqual(second, first);
  assert.equal(get(guest, second, MARK_NAME), "y");
  assert.equal(broker.asked.length, 2);
});

test("a mark in the upper directory is the host's, and only the mark", options, (t) => {
  const { dir, guest, broker } = fixture(t);
  const path = join(dir, "c1/upper/fs/d");
  const { nodeId } = guest.walk("c1/upper/fs/d");
  assert.equal(set(guest, nodeId, MARK_NAME, "y", 2), "ENODATA", "XATTR_REPLACE");
  assert.equal(set(guest, nodeId, MARK_NAME, "y"), "");
  assert.deepEqual([hostList(path), hostGet(path, MARK_NAME)], [[MARK_NAME], "y"]);
  assert.equal(set(guest, nodeId, MARK_NAME, "y", 1), "EEXIST", "XATTR_CREATE");
  assert.equal(get(guest, nodeId, MARK_NAME), "y");
  assert.equal(set(guest, nodeId, MARK_NAME, "another value"), "");
  assert.deepEqual(hostList(path), []);
  assert.equal(remove(guest, nodeId, MARK_NAME), "ENODATA");
  assert.equal(set(guest, nodeId, MARK_NAME, "y"), "");
  assert.equal(remove(guest, nodeId, MARK_NAME), "");
  assert.deepEqual(hostList(path), []);
  assert.equal(broker.asked.filter((line) => line.startsWith("read")).length, 1);
});

test("a directory that the guest makes is known not to be marked", options, (t) => {
  const { guest, broker } = fixture(t);
  const work = guest.walk("c1/upper/work").nodeId;
  const made = readEntry(guest.call(Opcode.MKDIR, work, [u32(0o755, 0), cstring("#1")])).nodeId;
  // What overlayfs tries when it is mounted.
  assert.equal(set(guest, made, MARK_NAME, "0"), "");
  assert.equal(get(guest, made, MARK_NAME), "ENODATA");
  assert.deepEqual(broker.asked, []);
  assert.equal(set(guest, made, MARK_NAME, "y"), "");
  assert.deepEqual(broker.asked, ["set c1/upper/work/#1"]);
});

test("marks of what is copied up are accepted on all kinds of files, and leave nothing", options, (t) => {
  const { dir, guest, broker } = fixture(t);
  const upper = join(dir, "c1/upper/fs");
  writeFileSync(join(upper, "file"), "");
  symlinkSync("nowhere", join(upper, "link"));
  execFileSync("mkfifo", [join(upper, "fifo")]);
  execFileSync("mknod", [join(upper, "whiteout"), "c", "0", "0"]);
  for (const name of readdirSync(upper)) {
    const { nodeId } = guest.walk(`c1/upper/fs/${name}`);
    for (const mark of ["origin", "impure", "uuid"]) {
      assert.equal(set(guest, nodeId, `trusted.overlay.${mark}`, "y"), "", name);
      assert.equal(get(guest, nodeId, `trusted.overlay.${mark}`), "ENODATA", name);
    }
    assert.deepEqual(hostList(join(upper, name)), [], name);
    if (name !== "d") {
      assert.equal(get(guest, nodeId, MARK_NAME), "ENODATA", name);
      assert.equal(set(guest, nodeId, MARK_NAME, "y"), "EPERM", name);
    }
  }
  assert.deepEqual(broker.asked, []);
});

test("a guest cannot plant what an overlay of the host obeys", options, (t) => {
  const { dir, guest } = fixture(t);
  const spellings = [
    "trusted.overlay.",
    "user.overlay.",
    "user.kata-fs.trusted.overlay.",
    "trusted.overlay.overlay.",
  ];
  const marks = [
    "redirect",
    "metacopy",
    "origin",
    "upper",
    "nlink",
    "whiteout",
    "protattr",
    "verity",
    "opaque",
  ];
  for (const place of ["c1/upper", "c1/upper/fs", "c1/upper/fs/d", "c1/upper/work", "c1/rootfs"]) {
    const { nodeId } = guest.walk(place);
    for (const name of spellings.flatMap((prefix) => marks.map((mark) => prefix + mark))) {
      set(guest, nodeId, name, "/escape");
      assert.notEqual(get(guest, nodeId, "trusted.overlay.redirect"), place === "c1/rootfs" ? "" : "/escape");
    }
    assert.deepEqual(
      hostList(join(dir, place)).filter((name) => !name.startsWith("user.kata-fs.")),
      [],
      place,
    );
  }
  assert.equal(
    get(guest, guest.walk("c1/rootfs").nodeId, "trusted.overlay.redirect"),
    "/escape",
    "kept on a volume",
  );
  const stored = `user.kata-fs.trusted.overlay.redirect`;
  assert.equal(get(guest, guest.walk("c1/rootfs").nodeId, stored), "ENODATA");
});

test("attributes that a layer has from elsewhere are not shown to the guest's overlay", options, (t) => {
  const { dir, guest } = fixture(t);
  const path = join(dir, "c1/lower/0/d");
  for (const name of [
    "trusted.overlay.redirect",
    "user.overlay.redirect",
    "user.kata-fs.trusted.overlay.redirect",
    "trusted.a",
  ])
    hostSet(path, name, "/escape");
  hostSet(path, "user.a", "1");
  const { nodeId } = guest.walk("c1/lower/0/d");
  assert.equal(guest.call(Opcode.LISTXATTR, nodeId, [u32(4096, 0)]).toString(), "user.a\0");
  assert.equal(get(guest, nodeId, "trusted.overlay.redirect"), "ENODATA");
});
