import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { encodeReplay, REPLAY_NAME, REPLAY_XATTR, type Replay, ReplayKind } from "../../proto/replay.js";
import { Opcode } from "../fuse/constants.js";
import { type Fixture, serveDirectory } from "../testing/fixture.js";
import { cstring, ROOT, u32, u64 } from "../testing/test-guest.js";

const AGENT = 1;
const OTHER = 2;

interface Served extends Fixture {
  /** Node id of the volume. */
  readonly node: bigint;
  announce(kind: ReplayKind, replay?: Partial<Replay>): void;
}

/** A shared volume with a file, a directory and a link, and a guest whose agent asks. */
function serve(t: TestContext): Served {
  const exports = [{ pattern: ["volume"], policy: "shared" } as const];
  const fixture = serveDirectory(t, { exports, xattr: true }, (dir) => {
    mkdirSync(join(dir, "volume", "sub"), { recursive: true });
    writeFileSync(join(dir, "volume", "file"), "content");
    symlinkSync("file", join(dir, "volume", "link"));
  });
  const { guest } = fixture;
  guest.pid = AGENT;
  const node = guest.lookup(ROOT, "volume").nodeId;
  const announce = (kind: ReplayKind, replay: Partial<Replay> = {}) => {
    const value = encodeReplay({ kind, nodeId: node, type: 0, name: "", oldName: "", ...replay });
    guest.call(Opcode.SETXATTR, ROOT, [u32(value.length, 0), cstring(REPLAY_XATTR), value]);
  };
  return { ...fixture, node, announce };
}

/** Everything about a tree: names, types, modes, sizes, times of modification, content. */
function snapshot(dir: string): string {
  const files = execFileSync("find", [dir, "-printf", "%p %y %m %n %s %T@ %C@ %l\n"], { encoding: "utf8" });
  const content = execFileSync("find", [dir, "-type", "f", "-exec", "cat", "{}", "+"], { encoding: "utf8" });
  return `${files.split("\n").sort().join("\n")}${content}`;
}

test("an announced mknod, mkdir or symlink finds no such name first, and then what the host has made", (t) => {
  const { guest, node, announce, dir } = serve(t);
  const before = snapshot(dir);
  const requests = {
    file: [Opcode.MKNOD, u32(0o100644, 0, 0, 0), cstring("file")],
    sub: [Opcode.MKDIR, u32(0o755, 0), cstring("sub")],
    link: [Opcode.SYMLINK, cstring("link"), cstring("x")],
  } as const;
  for (const [name, [opcode, ...parts]] of Object.entries(requests)) {
    const known = guest.lookup(node, name).nodeId;
    announce(ReplayKind.create, { name });
    assert.equal(guest.send(Opcode.LOOKUP, node, [cstring(name)]).error, "ENOENT");
    assert.equal(guest.call(opcode, node, [...parts]).readBigUInt64LE(0), known);
    guest.pid = OTHER;
    assert.equal(guest.lookup(node, name).nodeId, known, "others see what is there");
    guest.pid = AGENT;
    assert.equal(guest.send(Opcode.MKDIR, node, [u32(0o755, 0), cstring("else")]).error, "EPERM");
  }
  assert.equal(snapshot(dir), before);
});

test("an announced unlink or rmdir finds the name that is gone, and succeeds", (t) => {
  const { guest, node, announce, dir } = serve(t);
  const before = snapshot(dir);
  for (const [type, opcode] of [
    [0o100000, Opcode.UNLINK],
    [0o040000, Opcode.RMDIR],
  ] as const) {
    announce(ReplayKind.remove, { name: "gone", type });
    const entry = guest.lookup(node, "gone");
    assert.equal(entry.attr.mode, type);
    assert.deepEqual([entry.entryValid, entry.attrValid], [0, 0]);
    guest.call(opcode, node, [cstring("gone")]);
    guest.forget(entry.nodeId, 1n);
    assert.equal(guest.send(Opcode.GETATTR, entry.nodeId, [Buffer.alloc(16)]).error, "ESTALE");
    assert.equal(guest.send(opcode, node, [cstring("file")]).error, "EPERM", "and nothing else is removed");
  }
  assert.equal(snapshot(dir), before);
});

test("an announced rename finds the old name as what has the new one now", (t) => {
  const { guest, node, announce, dir, metrics } = serve(t);
  const before = snapshot(dir);
  const known = guest.lookup(node, "file").nodeId;
  const rename = (from: bigint, oldName: string, to: bigint, name: string) =>
    guest.send(Opcode.RENAME2, from, [u64(to), u32(0, 0), cstring(oldName), cstring(name)]).error;
  announce(ReplayKind.rename, { name: "file", oldName: "file_tmp" });
  assert.equal(guest.lookup(node, "file_tmp").nodeId, known);
  assert.equal(guest.send(Opcode.LOOKUP, node, [cstring("file")]).error, "ENOENT");
  assert.equal(rename(node, "file_tmp", node, "file"), "");

  announce(ReplayKind.rename, { name: "file" });
  assert.equal(guest.lookup(ROOT, REPLAY_NAME).nodeId, known, "from elsewhere");
  assert.equal(rename(ROOT, REPLAY_NAME, node, "file"), "");

  announce(ReplayKind.rename, { oldName: "left", type: 0o040000 });
  assert.equal(guest.lookup(node, "left").attr.mode, 0o040000, "to elsewhere");
  assert.equal(guest.send(Opcode.LOOKUP, ROOT, [cstring(REPLAY_NAME)]).error, "ENOENT");
  assert.equal(rename(node, "left", ROOT, REPLAY_NAME), "");
  assert.equal(snapshot(dir), before);
  assert.equal(metrics.inodesLive, 2);
});

test("an announced change of attributes, or opening for writing, answers what is there", (t) => {
  const { guest, node, announce, dir } = serve(t);
  const { nodeId, attr } = guest.lookup(node, "file");
  const before = snapshot(dir);
  announce(ReplayKind.touch);
  const setattr = Buffer.alloc(88);
  setattr.writeUInt32LE(0b111111, 0);
  assert.equal(guest.call(Opcode.SETATTR, nodeId, [setattr]).readUInt32LE(16 + 60), attr.mode);
  const fh = guest.open(nodeId, 1);
  assert.equal(guest.write(nodeId, fh, 0, Buffer.from("x")).error, "EPERM");
  announce(ReplayKind.none);
  assert.equal(guest.write(nodeId, fh, 0, Buffer.from("x")).error, "EBADF", "the handle is for reading");
  guest.release(nodeId, fh);
  assert.equal(snapshot(dir), before);
});

test("an inode without a name has its last name removed; one that has a name has not", (t) => {
  const { guest, node, announce, dir } = serve(t);
  const { nodeId } = guest.lookup(node, "file");
  announce(ReplayKind.gone, { nodeId });
  assert.equal(guest.send(Opcode.LOOKUP, ROOT, [cstring(REPLAY_NAME)]).error, "EEXIST");
  rmSync(join(dir, "volume", "file"));
  const entry = guest.lookup(ROOT, REPLAY_NAME);
  assert.deepEqual([entry.nodeId, entry.attr.nlink], [nodeId, 0]);
  guest.call(Opcode.UNLINK, ROOT, [cstring(REPLAY_NAME)]);
  guest.forget(nodeId, 2n);
  assert.equal(guest.send(Opcode.LOOKUP, ROOT, [cstring(REPLAY_NAME)]).error, "ESTALE");
});

test("a name is forgotten by an unlink that is announced to fail", (t) => {
  const { guest, node, announce } = serve(t);
  announce(ReplayKind.invalidate, { name: "file" });
  assert.equal(guest.send(Opcode.LOOKUP, node, [cstring("file")]).error, "ENOENT");
  assert.equal(guest.send(Opcode.UNLINK, node, [cstring("file")]).error, "ENOENT");
  assert.equal(guest.send(Opcode.RMDIR, node, [cstring("file")]).error, "ENOENT");
  assert.equal(guest.send(Opcode.UNLINK, node, [cstring("link")]).error, "EPERM");
});

test("whatever a thread asks for that has announced anything, the host stays as it is", (t) => {
  const { guest, node, announce, dir } = serve(t);
  const file = guest.lookup(node, "file").nodeId;
  const fh = guest.open(file, 2);
  guest.list(node);
  const before = snapshot(dir);
  const name = fc.constantFrom("file", "sub", "link", "new", REPLAY_NAME, "");
  const nodes = fc.constantFrom(ROOT, node, file, 77n);
  const replay = fc.record({
    kind: fc.constantFrom(...Object.values(ReplayKind).filter((kind) => kind !== ReplayKind.none)),
    nodeId: nodes,
    name,
    oldName: name,
    type: fc.constantFrom(0, 0o040000, 0o100000, 0xffff_ffff),
  });
  const setattr = Buffer.alloc(88);
  setattr.writeUInt32LE(0xff, 0);
  const requests: Readonly<Record<number, (one: string, other: string) => Uint8Array[]>> = {
    [Opcode.SETATTR]: () => [setattr],
    [Opcode.MKNOD]: (one) => [u32(0o100644, 0, 0, 0), cstring(one)],
    [Opcode.MKDIR]: (one) => [u32(0o755, 0), cstring(one)],
    [Opcode.SYMLINK]: (one, other) => [cstring(one), cstring(other)],
    [Opcode.LINK]: (one) => [u64(file), cstring(one)],
    [Opcode.UNLINK]: (one) => [cstring(one)],
    [Opcode.RMDIR]: (one) => [cstring(one)],
    [Opcode.RENAME]: (one, other) => [u64(node), cstring(one), cstring(other)],
    [Opcode.RENAME2]: (one, other) => [u64(node), u32(2, 0), cstring(one), cstring(other)],
    [Opcode.CREATE]: (one) => [u32(0o1102, 0o644, 0, 0), cstring(one)],
    [Opcode.TMPFILE]: (one) => [u32(2, 0o644, 0, 0), cstring(one)],
    [Opcode.OPEN]: () => [u32(0o1002, 0)],
    [Opcode.WRITE]: () => [u64(fh, 0n), u32(1, 0), u64(0n), u32(0, 0), Buffer.from("!")],
    [Opcode.FALLOCATE]: () => [u64(fh, 0n, 100n), u32(0, 0)],
    [Opcode.SETXATTR]: () => [u32(1, 0), cstring("user.a"), Buffer.from("1")],
    [Opcode.REMOVEXATTR]: () => [cstring("user.a")],
    [Opcode.LOOKUP]: (one) => [cstring(one)],
  };
  const opcode = fc.constantFrom(...Object.keys(requests).map(Number));
  fc.assert(
    fc.property(replay, fc.array(fc.tuple(opcode, nodes, name, name)), (announced, asked) => {
      announce(announced.kind, announced);
      for (const [code, target, one, other] of asked) {
        guest.send(code, target, requests[code]?.(one, other) ?? []);
      }
    }),
  );
  announce(ReplayKind.none);
  assert.equal(snapshot(dir), before);
  guest.call(Opcode.MKDIR, node, [u32(0o755, 0), cstring("real")]);
  assert.ok(readdirSync(join(dir, "volume")).includes("real"));
});

test("what is no announcement is refused, and an announcement ends with the session", (t) => {
  const { guest, node, announce, dir } = serve(t);
  for (const value of [
    Buffer.alloc(0),
    Buffer.alloc(17),
    Buffer.alloc(18, 0xff),
    Buffer.from(`${"\0".repeat(16)}a/b\0\0`),
  ]) {
    const request = [u32(value.length, 0), cstring(REPLAY_XATTR), value];
    assert.equal(guest.send(Opcode.SETXATTR, ROOT, request).error, "EINVAL");
  }
  announce(ReplayKind.touch);
  guest.init();
  const volume = guest.lookup(ROOT, "volume").nodeId;
  guest.call(Opcode.MKDIR, volume, [u32(0o755, 0), cstring("real")]);
  assert.ok(readdirSync(join(dir, "volume")).includes("real"));
  assert.notEqual(volume, node);
});

test("without shared exports there is nothing to replay: the attribute is as any", (t) => {
  const { guest } = serveDirectory(t, { xattr: true });
  const value = encodeReplay({ kind: ReplayKind.touch, nodeId: 1n, type: 0, name: "", oldName: "" });
  guest.send(Opcode.SETXATTR, ROOT, [u32(value.length, 0), cstring(REPLAY_XATTR), value]);
  assert.equal(guest.send(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring("real")]).error, "");
});
