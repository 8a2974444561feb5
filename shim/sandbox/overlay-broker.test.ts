import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  MARK_NAME,
  MARK_REPLY_BYTES,
  MARK_REQUEST_HEADER_BYTES,
  MarkOperation,
  writeMarkRequest,
} from "../../lib/overlay-marks/message.js";
import { errnoName } from "../../lib/sys/errno.js";
import { OverlayBroker } from "./overlay-broker.js";

const options = { skip: process.geteuid?.() === 0 ? false : "needs root" };
const ignore = () => {};
const NUMBER = 0xfedc_ba98;

/** A broker with a layer and an upper directory of a container, between directories that are nobody's business. */
async function fixture(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), "kata-fs-marks-"));
  for (const name of ["snapshots/1/fs/d", "snapshots/2/fs/d/e", "snapshots/2/work", "snapshots/3/fs/d"])
    mkdirSync(join(dir, name), { recursive: true });
  const warnings: string[] = [];
  const broker = new OverlayBroker({
    ...{ debug: ignore, info: ignore, error: ignore },
    warn: (message) => warnings.push(message),
  });
  broker.add("c1/lower/0", join(dir, "snapshots/1/fs"), false);
  broker.add("c1/upper", join(dir, "snapshots/2"), true);
  const server = createServer((socket) => broker.serve(socket)).listen(join(dir, "socket"));
  await once(server, "listening");
  const socket = connect(join(dir, "socket"));
  await once(socket, "connect");
  t.after(() => {
    socket.destroy();
    server.close();
    broker.close();
    rmSync(dir, { recursive: true });
  });
  return { dir, broker, socket, warnings, path: (name: string) => join(dir, "snapshots", name) };
}

function request(operation: number, path: string, inode = 0): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(MARK_REQUEST_HEADER_BYTES), Buffer.from(path)]);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const { set } = MarkOperation;
  writeMarkRequest(
    view,
    set,
    inode % 2 ** 32,
    Math.floor(inode / 2 ** 32),
    NUMBER,
    bytes.length - MARK_REQUEST_HEADER_BYTES,
  );
  bytes[0] = operation;
  return bytes;
}

/** What the broker answers: a number, or the name of an errno. */
async function ask(
  socket: Socket,
  operation: MarkOperation,
  path: string,
  inode = 0,
): Promise<number | string> {
  socket.write(request(operation, path, inode));
  const [reply]: Buffer[] = await once(socket, "data");
  assert.equal(reply?.length, MARK_REPLY_BYTES);
  assert.equal(reply.readUInt32LE(4), NUMBER);
  const result = reply.readInt32LE();
  return result < 0 ? errnoName(-result) : result;
}

const inodeOf = (path: string) => statSync(path).ino;
const python = (script: string, ...args: string[]) =>
  execFileSync("python3", ["-c", `import os,sys; ${script}`, ...args], { encoding: "utf8" }).trim();
const attributes = (path: string) =>
  python("print(','.join(os.listxattr(sys.argv[1], follow_symlinks=False)))", path);

test("a directory is marked, its mark read and taken away", options, async (t) => {
  const { socket, path } = await fixture(t);
  const { read, set, clear } = MarkOperation;
  const directory = path("2/fs/d/e");
  const inode = inodeOf(directory);
  assert.equal(await ask(socket, read, "c1/upper/fs/d/e", inode), 0);
  assert.equal(await ask(socket, clear, "c1/upper/fs/d/e", inode), 0);
  assert.equal(await ask(socket, set, "c1/upper/fs/d/e", inode), 0);
  assert.equal(attributes(directory), MARK_NAME);
  assert.equal(await ask(socket, read, "c1/upper/fs/d/e", inode), 0x79);
  assert.equal(await ask(socket, clear, "c1/upper/fs/d/e", inode), 0);
  assert.equal(attributes(directory), "");
  assert.equal(await ask(socket, set, "c1/upper", inodeOf(path("2"))), 0, "the directory itself");
});

test("marks of layers are read and never changed", options, async (t) => {
  const { socket, path } = await fixture(t);
  const inode = inodeOf(path("1/fs/d"));
  assert.equal(await ask(socket, MarkOperation.set, "c1/lower/0/d", inode), "EROFS");
  assert.equal(await ask(socket, MarkOperation.clear, "c1/lower/0/d", inode), "EROFS");
  for (const [value, answer] of [
    ["y", 0x79],
    ["x", 0x78],
    ["z", 0],
    ["long", 0],
  ] as const) {
    python(`os.setxattr(sys.argv[1], '${MARK_NAME}', sys.argv[2].encode())`, path("1/fs/d"), value);
    assert.equal(await ask(socket, MarkOperation.read, "c1/lower/0/d", inode), answer, value);
  }
});

test("nothing but directories of the sandbox can be reached", options, async (t) => {
  const { dir, socket, path } = await fixture(t);
  const victim = path("3/fs/d");
  writeFileSync(path("2/fs/file"), "");
  symlinkSync(victim, path("2/fs/absolute"));
  symlinkSync("../../3/fs", path("2/fs/relative"));
  symlinkSync("d", path("2/fs/inside"));
  execFileSync("mkfifo", [path("2/fs/fifo")]);
  mkdirSync(path("2/fs/mounted"));
  execFileSync("mount", ["--bind", path("3/fs"), path("2/fs/mounted")]);
  const inode = inodeOf(victim);
  const hostile: Record<string, string> = {
    "c1/upper/../3/fs/d": "EXDEV",
    "c1/upper/fs/../../3/fs/d": "EXDEV",
    [`c1/upper/${victim}`]: "EXDEV",
    "c1/upper/fs/absolute": "ENOTDIR",
    "c1/upper/fs/relative/d": "ELOOP",
    "c1/upper/fs/inside": "ENOTDIR",
    "c1/upper/fs/mounted/d": "EXDEV",
    "c1/upper/fs/mounted": "EXDEV",
    "c1/upper/fs/file": "ENOTDIR",
    "c1/upper/fs/fifo": "ENOTDIR",
    "c1/upper/fs/none": "ENOENT",
    [`c1/upper/${"x".repeat(256)}`]: "ENAMETOOLONG",
    "c1/upper2/fs": "ENOENT",
    "c1/lower/1/d": "ENOENT",
    "c2/upper/fs": "ENOENT",
    c1: "ENOENT",
    "/c1/upper/fs": "ENOENT",
    "../c1/upper/fs": "ENOENT",
    [victim]: "ENOENT",
    "c1/upper/fs/d": "ESTALE",
    [`c1/upper/${"../".repeat(1000)}x`]: "EXDEV",
  };
  try {
    for (const operation of [MarkOperation.set, MarkOperation.read, MarkOperation.clear]) {
      for (const [name, error] of Object.entries(hostile))
        assert.equal(await ask(socket, operation, name, inode), error, name);
    }
  } finally {
    execFileSync("umount", [path("2/fs/mounted")]);
  }
  const marked = execFileSync("find", [
    dir,
    "-exec",
    "python3",
    "-c",
    "import os,sys; [print(p) for p in sys.argv[1:] if os.listxattr(p, follow_symlinks=False)]",
    "{}",
    "+",
  ]);
  assert.equal(marked.toString(), "");
});

test(
  "a path that has become another directory's is not taken for the one that was meant",
  options,
  async (t) => {
    const { socket, path } = await fixture(t);
    const inode = inodeOf(path("2/fs/d"));
    renameSync(path("2/fs/d"), path("2/fs/old"));
    mkdirSync(path("2/fs/d"));
    assert.equal(await ask(socket, MarkOperation.set, "c1/upper/fs/d", inode), "ESTALE");
    assert.equal(await ask(socket, MarkOperation.set, "c1/upper/fs/old", inode), 0);
  },
);

test("a container that is gone is not served any more", options, async (t) => {
  const { broker, socket, path } = await fixture(t);
  const inode = inodeOf(path("2/fs/d"));
  broker.remove("c");
  assert.equal(await ask(socket, MarkOperation.read, "c1/upper/fs/d", inode), 0);
  broker.remove("c1");
  assert.equal(await ask(socket, MarkOperation.read, "c1/upper/fs/d", inode), "ENOENT");
});

test("requests may come in pieces and several at a time", options, async (t) => {
  const { socket, path } = await fixture(t);
  const one = request(MarkOperation.read, "c1/upper/fs/d", inodeOf(path("2/fs/d")));
  const all = Buffer.concat([one, one, one]);
  const replies: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => replies.push(chunk));
  for (const byte of all.subarray(0, 20)) {
    socket.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  socket.write(all.subarray(20));
  const expected = Buffer.alloc(3 * MARK_REPLY_BYTES);
  for (const index of [0, 1, 2]) expected.writeUInt32LE(NUMBER, index * MARK_REPLY_BYTES + 4);
  while (Buffer.concat(replies).length < expected.length) await once(socket, "data");
  assert.deepEqual(Buffer.concat(replies), expected);
});

for (const [what, bytes] of [
  ["an operation that there is not", request(9, "c1/upper/fs")],
  ["a path without bytes", request(MarkOperation.read, "")],
  ["a path that is too long", request(MarkOperation.read, "x".repeat(5000))],
  ["a path with a NUL in it", request(MarkOperation.read, "c1/upper/fs\0")],
] as const) {
  test(`${what} ends the service`, options, async (t) => {
    const { socket, warnings } = await fixture(t);
    socket.write(bytes);
    await once(socket, "close");
    assert.equal(warnings.length, 1);
  });
}

test("a daemon that asks and never listens is let go", options, async (t) => {
  const { socket, path, warnings } = await fixture(t);
  socket.pause();
  socket.on("error", ignore);
  const one = request(MarkOperation.read, "c1/upper/fs/d", inodeOf(path("2/fs/d")));
  const many = Buffer.concat(Array.from({ length: 1000 }, () => one));
  while (warnings.length === 0) {
    socket.write(many);
    await new Promise(setImmediate);
  }
});
