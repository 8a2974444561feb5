import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Opcode } from "../fuse/constants.js";
import type { ExportOption } from "../passthrough/export-policy.js";
import { type Fixture, serveDirectory } from "../testing/fixture.js";
import { cstring, u32, u64 } from "../testing/test-guest.js";
import { EventQueue } from "./event-queue.js";
import type { HostEvent } from "./host-event.js";

const EXPORTS: readonly ExportOption[] = [
  { pattern: ["*", "volume"], policy: "shared" },
  { pattern: ["*", "file"], policy: "shared" },
];

interface Followed extends Fixture {
  /** Events since the last call, "kind name" or "rename old > new" each, with the directory in front if it is another one than the volume. */
  events(): string[];
  readonly volume: string;
  /** The volume's node id. */
  readonly node: bigint;
}

/** A share with a volume that the guest knows, followed. */
function follow(t: TestContext, prepare: (volume: string) => void = () => {}): Followed {
  let volume = "";
  const share = serveDirectory(t, { exports: EXPORTS, xattr: true }, (dir) => {
    volume = join(dir, "c1", "volume");
    mkdirSync(volume, { recursive: true });
    writeFileSync(join(dir, "c1", "file"), "");
    prepare(volume);
  });
  const queue = new EventQueue();
  const watcher = share.server.followHost("tag", queue);
  assert.ok(watcher !== null);
  const node = share.guest.walk("c1/volume").nodeId;
  const events = () => {
    watcher.drain();
    const lines = queue.take().split("\n").slice(0, -1);
    return lines.map((line) => describeEvent(JSON.parse(line)));
  };
  return { ...share, events, volume, node };
}

function describeEvent({ kind, directory, name, oldName }: HostEvent): string {
  const where = directory === "c1/volume" ? "" : `${directory}: `;
  return `${where}${kind} ${kind === "rename" ? `${oldName} > ${name}` : name}`;
}

test("what the host does to entries of a shared directory that the guest knows is told", (t) => {
  const { events, volume } = follow(t);
  writeFileSync(join(volume, "a"), "x");
  assert.deepEqual(events(), ["create a", "modify a", "close-write a"]);
  chmodSync(join(volume, "a"), 0o600);
  assert.deepEqual(events(), ["attrib a"]);
  renameSync(join(volume, "a"), join(volume, "b"));
  assert.deepEqual(events(), ["rename a > b"]);
  renameSync(join(volume, "b"), join(volume, "..", "elsewhere"));
  assert.deepEqual(events(), ["rename b > "]);
  renameSync(join(volume, "..", "elsewhere"), join(volume, "c"));
  assert.deepEqual(events(), ["rename  > c"]);
  unlinkSync(join(volume, "c"));
  assert.deepEqual(events(), ["remove c"]);
  mkdirSync(join(volume, "d"));
  assert.deepEqual(events(), ["create d"]);
  chmodSync(volume, 0o700);
  assert.deepEqual(events(), ["attrib "]);
});

test("an event says where it happened, in node id and path, and what it is", (t) => {
  const { server, volume, node } = follow(t);
  const queue = new EventQueue();
  const watcher = server.followHost("kataShared", queue);
  const name = "\u00e4\n";
  symlinkSync("x", join(volume, name));
  watcher?.drain();
  assert.deepEqual(JSON.parse(queue.take()), {
    device: "kataShared",
    kind: "create",
    directory: "c1/volume",
    node: node.toString(16),
    name: Buffer.from(name).toString("latin1"),
    oldName: "",
    type: 0o120000,
    // The guest knew the directory before, and was followed by somebody else then.
    isKept: true,
  });
});

test("a volume is published as Kubernetes does it: a directory, and a link that is moved over another", (t) => {
  const { events, volume, guest, node } = follow(t, (path) => {
    mkdirSync(join(path, "..1"));
    writeFileSync(join(path, "..1", "key"), "old");
    symlinkSync("..1", join(path, "..data"));
  });
  guest.lookup(node, "..1");
  events();
  mkdirSync(join(volume, "..2"));
  writeFileSync(join(volume, "..2", "key"), "new");
  symlinkSync("..2", join(volume, "..data_tmp"));
  renameSync(join(volume, "..data_tmp"), join(volume, "..data"));
  rmSync(join(volume, "..1"), { recursive: true });
  // The guest does not know ..2 yet, and what has been moved away is not told as made. In a directory that is gone nothing happens.
  assert.deepEqual(events(), ["create ..2", "rename ..data_tmp > ..data", "remove ..1"]);
});

test("what the guest changes itself is not told, what the host does meanwhile is", (t) => {
  const { events, guest, node, volume } = follow(t, (path) => writeFileSync(join(path, "file"), "x"));
  const { entry, fh } = guest.create(node, "own", 2, 0o600);
  guest.write(entry.nodeId, fh, 0, Buffer.from("content"));
  guest.release(entry.nodeId, fh);
  guest.call(Opcode.MKDIR, node, [u32(0o755, 0), cstring("dir")]);
  guest.call(Opcode.SYMLINK, node, [cstring("link"), cstring("x")]);
  guest.call(Opcode.LINK, node, [u64(entry.nodeId), cstring("hard")]);
  guest.call(Opcode.RENAME, node, [u64(node), cstring("link"), cstring("moved")]);
  guest.call(Opcode.UNLINK, node, [cstring("moved")]);
  guest.call(Opcode.RMDIR, node, [cstring("dir")]);
  const mode = Buffer.alloc(88);
  mode.writeUInt32LE(1, 0);
  mode.writeUInt32LE(0o600, 68);
  guest.call(Opcode.SETATTR, entry.nodeId, [mode]);
  guest.call(Opcode.SETXATTR, entry.nodeId, [u32(1, 0), cstring("user.a"), Buffer.from("1")]);
  appendFileSync(join(volume, "file"), "y");
  assert.deepEqual(events(), ["modify file", "close-write file"]);
  appendFileSync(join(volume, "own"), "y");
  assert.deepEqual(events(), ["modify own", "close-write own"], "once it is over the guest's file is as any");
});

test("a file that is an export by itself is followed", (t) => {
  const { events, guest, dir } = follow(t);
  const file = join(dir, "c1", "file");
  appendFileSync(file, "x");
  assert.deepEqual(events(), []);
  guest.walk("c1/file");
  appendFileSync(file, "x");
  assert.deepEqual(events(), ["c1: modify file", "c1: close-write file"]);
});

test("nothing is watched that the host does not share, that the guest does not know, or that it has forgotten", (t) => {
  const { events, guest, dir, volume, node, metrics } = follow(t, (path) => mkdirSync(join(path, "sub")));
  writeFileSync(join(dir, "c1", "private"), "");
  writeFileSync(join(volume, "sub", "unknown"), "");
  assert.deepEqual(events(), []);
  assert.equal(metrics.hostWatches, 1);
  const sub = guest.lookup(node, "sub").nodeId;
  unlinkSync(join(volume, "sub", "unknown"));
  assert.deepEqual(events(), ["c1/volume/sub: remove unknown"]);
  assert.equal(metrics.hostWatches, 2);
  guest.forget(sub, 1n);
  writeFileSync(join(volume, "sub", "unknown"), "");
  assert.deepEqual(events(), []);
  assert.equal(metrics.hostWatches, 1);
});

test("watches are bounded, the oldest go first", (t) => {
  const { events, guest, volume, node, metrics } = follow(t, (path) => {
    for (let index = 0; index < 1100; index++) mkdirSync(join(path, `d${index}`));
  });
  for (let index = 0; index < 1100; index++) guest.lookup(node, `d${index}`);
  events();
  assert.equal(metrics.hostWatches, 1024);
  writeFileSync(join(volume, "d0", "x"), "");
  writeFileSync(join(volume, "d1099", "x"), "");
  assert.deepEqual(events(), ["c1/volume/d1099: create x", "c1/volume/d1099: close-write x"]);
});

test("what waits to be told is told once, and too many are counted", (t) => {
  const { events, volume, server } = follow(t);
  for (let index = 0; index < 10; index++) {
    utimesSync(volume, index, index);
    appendFileSync(join(volume, "log"), "x");
  }
  assert.deepEqual(events(), ["attrib ", "create log", "modify log", "close-write log"]);
  renameSync(join(volume, "log"), join(volume, "log.1"));
  appendFileSync(join(volume, "log"), "x");
  const rotated = ["rename log > log.1", "create log", "modify log", "close-write log"];
  assert.deepEqual(events(), rotated, "a name that has become another file's");
  const queue = new EventQueue();
  const watcher = server.followHost("tag", queue);
  for (let index = 0; index < 5000; index++) {
    mkdirSync(join(volume, `d${index}`));
    if (index % 1000 === 0) watcher?.drain();
  }
  watcher?.drain();
  const lines = queue.take().trimEnd().split("\n");
  assert.equal(lines.length, 4097);
  assert.deepEqual(JSON.parse(lines.at(-1) ?? ""), { dropped: 904 });
  assert.ok(queue.isEmpty);
});

test("a device without shared exports has nothing to follow", (t) => {
  assert.equal(serveDirectory(t).server.followHost("tag", new EventQueue()), null);
});

test("while nothing changes names are trusted for longer; what the host changes then has to be taken back", (t) => {
  const { server, guest, node, volume } = follow(t, (path) => {
    mkdirSync(join(path, "sub"));
    writeFileSync(join(path, "file"), "");
  });
  let nowMs = 0;
  const queue = new EventQueue();
  const watcher = server.followHost("tag", queue, () => nowMs);
  const told = () => {
    const { entryValid, attrValid } = guest.lookup(node, "file");
    return [entryValid, attrValid, guest.lookup(node, "sub").attrValid];
  };
  const areKept = () => {
    watcher?.drain();
    const lines = queue.take().split("\n").slice(0, -1);
    return lines.map((line): boolean => JSON.parse(line).isKept);
  };
  assert.deepEqual(told(), [1, 1, 1], "nobody knows yet how quiet it is");
  nowMs += 10_000;
  assert.deepEqual(told(), [10, 1, 10], "a file may be changed by another name, and in mapped memory");
  mkdirSync(join(volume, "new"));
  assert.deepEqual(areKept(), [true]);
  assert.deepEqual(told(), [1, 1, 10]);
  nowMs += 9_000;
  mkdirSync(join(volume, "newer"));
  assert.deepEqual(areKept(), [true], "other names may still be remembered");
  nowMs += 2_001;
  mkdirSync(join(volume, "newest"));
  assert.deepEqual(areKept(), [false]);
  nowMs += 10_000;
  assert.deepEqual(told(), [10, 1, 10]);
  server.unfollowHost();
  assert.deepEqual(told(), [1, 1, 1], "nobody would take it back");
});
