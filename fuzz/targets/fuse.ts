import assert from "node:assert/strict";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from "../../fsd/fuse/constants.js";
import type { FuseServer, FuseServerOptions } from "../../fsd/fuse/fuse-server.js";
import { createFuseServer } from "../../fsd/fuse/server.js";
import { createFsdMetrics } from "../../fsd/metrics.js";
import { PRESET_SHARE_POLICY } from "../../fsd/passthrough/share-policy.js";
import { BufferSegments } from "../../fsd/testing/buffer-segments.js";
import { RecordedWindow } from "../../fsd/testing/recorded-window.js";
import { checkReply } from "../../fsd/testing/reply-rules.js";
import { cstring, u32 } from "../../fsd/testing/test-guest.js";
import { Decisions } from "../decisions.js";
import type { FuzzTarget } from "../target.js";
import { askedBytes, type OpcodeName, opcodeNames, requestParts } from "./fuse-shapes.js";
import { GuardedMemory } from "./guarded-memory.js";

const REQUESTS_MAX = 60;
/** Text outside of the share that no reply may show. */
const SECRET = Buffer.from("kata-fs: a secret of the host");
/**
 * A word that the daemon's buffer for replies is full of, from the target of a symbolic link, when a request is served: a reply that shows
 * it has bytes that nobody has written.
 */
const STALE_WORD = 0x54a1_e57a;
const STALE_BYTES = 1024;
const WINDOW_BYTES = 1 << 24;
/** What the room for a reply is full of. */
const UNTOUCHED = Buffer.alloc(1 << 17, 0xee);
const ROOMS = [4096, 4096, 4096, 4096, 16, 24, 0, 8, 32, 120, 144, 160, 304, 70_000];
const USERS = [0, 0, 0, 1000, 0xffff_ffff];

/** Serves the same tree in different ways, chosen by the input. */
const POLICIES: readonly Partial<FuseServerOptions>[] = [
  { dax: "inode" },
  { dax: "inode", readOnly: true, cache: "always" },
  { cache: "metadata", writeback: true, negativeSeconds: 10, xattr: false },
  { cache: "never", readdirplus: false, killprivV2: true, allowDirectIo: true },
];

/**
 * A guest that sends requests of any shape in any order, with node ids and handles that it was given, and some that it was not. Each
 * reply is one that Linux 7.3 takes; nothing outside of the share changes or is shown; nothing is left when the session ends.
 */
export function createFuseTarget(): FuzzTarget {
  const outside = mkdtempSync(join(tmpdir(), "kata-fs-fuzz-"));
  const dir = join(outside, "share");
  mkdirSync(dir);
  writeFileSync(join(outside, "canary"), SECRET, { mode: 0o640 });
  mkdirSync(join(outside, "around"));
  const errors: string[] = [];
  const ignore = () => {};
  const log = { debug: ignore, info: ignore, warn: ignore, error: (message: string) => errors.push(message) };
  const servers = POLICIES.map((policy) => {
    const metrics = createFsdMetrics();
    const window = new RecordedWindow(WINDOW_BYTES);
    const options = {
      ...PRESET_SHARE_POLICY,
      xattr: true,
      inodeFileHandles: "never",
      daxThresholdBytes: 4096,
      longCallsMax: 0,
    } as const;
    const server = createFuseServer({ ...options, root: dir, window, metrics, log, ...policy });
    return { server, metrics, window, isReadOnly: policy.readOnly === true };
  });
  const descriptors = openDescriptors();
  const memory = new GuardedMemory(1 << 18);
  let isDirty = true;
  let before = "";
  return {
    name: "fuse",
    covers: /\/fsd\/(fuse|passthrough|dax|xattr-map)\/[a-z-]+\.ts$/,
    run(input) {
      const decisions = new Decisions(input);
      const one = decisions.pick(servers);
      if (isDirty) {
        makeTree(dir);
        before = snapshot(outside);
      }
      const inside = one.isReadOnly ? listing(dir) : "";
      const session = new Session(one.server, memory);
      session.begin(decisions);
      while (session.requests < REQUESTS_MAX && !decisions.isOver) session.send(decisions);
      isDirty = session.hasChanged && !one.isReadOnly;
      one.server.reset();
      one.window.maps.clear();
      const { inodesLive, handlesLive, daxMapsLive } = one.metrics;
      assert.deepEqual([inodesLive, handlesLive, daxMapsLive], [0, 0, 0], "the session leaves nothing");
      assert.deepEqual(errors.splice(0), [], "nothing is thrown inside");
      assert.equal(openDescriptors(), descriptors, "no descriptor is left open");
      if (session.hasChanged) assert.equal(snapshot(outside), before, "nothing changes outside of the share");
      if (one.isReadOnly) assert.equal(listing(dir), inside, "nothing changes in a read-only share");
      return session.requests;
    },
    close() {
      for (const { server } of servers) server.close();
      rmSync(Buffer.from(outside), { recursive: true, force: true });
    },
  };
}

/** The share as each session finds it: links lead to the canary. */
function makeTree(dir: string): void {
  // Names that guests give are bytes, not text.
  for (const name of readdirSync(dir, "buffer")) {
    rmSync(Buffer.concat([Buffer.from(`${dir}/`), name]), { recursive: true, force: true });
  }
  symlinkSync("../canary", join(dir, "a"));
  symlinkSync("../around", join(dir, "b"));
  symlinkSync("..", join(dir, "c"));
  mkdirSync(join(dir, "d"));
  writeFileSync(join(dir, "d", "e"), "x");
  writeFileSync(join(dir, "f"), Buffer.alloc(20_000, "f"), { mode: 0o6755 });
  const stale = Buffer.alloc(STALE_BYTES);
  for (let at = 0; at < STALE_BYTES; at += 4) stale.writeUInt32LE(STALE_WORD, at);
  symlinkSync(stale, join(dir, "stale"));
}

function snapshot(outside: string): string {
  const { mode, uid, gid, nlink, size, mtimeMs, ctimeMs } = lstatSync(join(outside, "canary"));
  return JSON.stringify([
    readdirSync(outside),
    readdirSync(join(outside, "around")),
    readFileSync(join(outside, "canary"), "latin1"),
    [mode, uid, gid, nlink, size, mtimeMs, ctimeMs],
  ]);
}

/** All that can be changed in the share but times of access: names, and what lstat(2) tells of them. */
function listing(dir: string): string {
  const paths = [dir, join(dir, "d")].flatMap((one) => readdirSync(one).map((name) => join(one, name)));
  return paths
    .map((path) => {
      const { mode, uid, gid, nlink, size, mtimeMs, ctimeMs } = lstatSync(path);
      return [path, mode, uid, gid, nlink, size, mtimeMs, ctimeMs].join(" ");
    })
    .join("\n");
}

/** How many, that of the list itself included. */
function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

interface Reply {
  readonly error: number;
  readonly body: Buffer;
}

class Session {
  requests = 0;
  /** Whether a request may have changed the tree. */
  hasChanged = false;
  readonly #nodes = [1n];
  readonly #handles = [0n];
  #stale = 0n;
  #unique = 0n;

  constructor(
    private readonly server: FuseServer,
    private readonly memory: GuardedMemory,
  ) {}

  /** INIT, and what guests learn first. Now and then there is none of it. */
  begin(decisions: Decisions): void {
    if (decisions.happens(8)) return;
    const flags = decisions.happens(32) ? decisions.uint32() : 0xffff_ffff;
    const arguments_ = [u32(7, 31 + decisions.below(16), 131072, flags, 0xffff_ffff), Buffer.alloc(44)];
    this.#call("INIT", 0n, arguments_);
    for (const name of ["f", "d", "a", "stale"]) {
      const { error, body } = this.#call("LOOKUP", 1n, [cstring(name)]);
      if (error === 0) this.#nodes.push(body.readBigUInt64LE(0));
    }
    this.#stale = this.#nodes[4] ?? 0n;
    const file = this.#call("OPEN", this.#nodes[1] ?? 0n, [u32(2, 0)]);
    if (file.error === 0) this.#handles.push(file.body.readBigUInt64LE(0));
    const directory = this.#call("OPENDIR", 1n, [u32(0, 0)]);
    if (directory.error === 0) this.#handles.push(directory.body.readBigUInt64LE(0));
    this.requests = 0;
  }

  send(decisions: Decisions): void {
    const name = decisions.pick(opcodeNames);
    if (decisions.happens(64)) this.#makeStale();
    const node = decisions.happens(12) ? decisions.number64() : decisions.pick(this.#nodes);
    const parts = requestParts(name, decisions, this.#nodes, this.#handles);
    const request = this.#request(decisions, name, node, parts);
    const room = decisions.happens(8) ? decisions.uint16() : decisions.pick(ROOMS);
    const reply = this.#exchange(request, room, decisions.below(4), decisions.below(4));
    this.requests++;
    if (name !== "LOOKUP" && name !== "GETATTR" && name !== "READ" && !name.startsWith("READDIR"))
      this.hasChanged = true;
    if (reply === undefined) return;
    // What was sent may be another operation than what was drawn.
    const sent = opcodeNames.find((one) => Opcode[one] === request.readUInt32LE(4));
    this.#check(sent, request, reply);
    if (reply.error === 0 && sent !== undefined) this.#learn(sent, reply.body);
  }

  /** Fills the daemon's buffer for replies with a word that is known. */
  #makeStale(): void {
    if (this.#stale !== 0n) this.#call("READLINK", this.#stale, []);
  }

  #call(name: OpcodeName, node: bigint, parts: readonly Uint8Array[]): Reply {
    const body = Buffer.concat(parts);
    const request = this.#whole(name, node, body, 0);
    const reply = this.#exchange(request, 4096, 0, 0);
    assert.ok(reply, `${name} is answered`);
    return reply;
  }

  #whole(name: OpcodeName, node: bigint, body: Uint8Array, uid: number): Buffer {
    const request = Buffer.concat([Buffer.alloc(IN_HEADER_BYTES), body]);
    request.writeUInt32LE(request.length, 0);
    request.writeUInt32LE(Opcode[name], 4);
    request.writeBigUInt64LE(++this.#unique, 8);
    request.writeBigUInt64LE(BigInt.asUintN(64, node), 16);
    request.writeUInt32LE(uid, 24);
    request.writeUInt32LE(uid, 28);
    return request;
  }

  /** A request, now and then with a header that lies or arguments that are not all there. */
  #request(decisions: Decisions, name: OpcodeName, node: bigint, parts: readonly Uint8Array[]): Buffer {
    const whole = this.#whole(name, node, Buffer.concat(parts), decisions.pick(USERS));
    if (decisions.happens(12))
      whole.writeUInt32LE(decisions.number32(), decisions.pick([0, 4, 12, 20, 32, 36]));
    if (decisions.happens(12)) whole.writeUInt32LE(Math.max(0, whole.length + decisions.byte() - 128), 0);
    return decisions.happens(12) ? whole.subarray(0, decisions.below(whole.length + 1)) : whole;
  }

  #exchange(request: Buffer, room: number, readCuts: number, writeCuts: number): Reply | undefined {
    this.memory.clear();
    const readable = this.memory.place(request, readCuts);
    const writable = this.memory.place(UNTOUCHED.subarray(0, room), writeCuts);
    const written = this.server.handle(1, 0, new BufferSegments(readable), new BufferSegments(writable));
    // SETLKW is answered when the lock is free, which no run waits for.
    const isLater = written === -1 && request.readUInt32LE(4) === Opcode.SETLKW;
    assert.ok(this.memory.isGuardIntact(), "nothing is written beside the buffers");
    const all = Buffer.concat(writable);
    assert.ok(
      all.subarray(Math.max(0, written)).equals(UNTOUCHED.subarray(Math.max(0, written), room)),
      "nothing is written behind the reply",
    );
    assert.ok(Buffer.concat(readable).equals(request), "a request is not written to");
    assert.ok(
      written === 0 || isLater || (written >= OUT_HEADER_BYTES && written <= room),
      `${written} bytes in ${room}`,
    );
    if (written === 0 || isLater) return undefined;
    const reply = all.subarray(0, written);
    checkReply(request, room, reply);
    return { error: reply.readInt32LE(4), body: Buffer.from(reply.subarray(OUT_HEADER_BYTES)) };
  }

  /** What a guest must not see. */
  #check(name: OpcodeName | undefined, request: Buffer, { error, body }: Reply): void {
    if (error !== 0) return;
    assert.ok(name !== undefined, "an operation that there is not is refused");
    assert.ok(body.length <= askedBytes(name, request), `${name}: ${body.length} bytes`);
    assert.equal(body.indexOf(SECRET), -1, `${name} shows what is outside of the share`);
    if (name === "READLINK") return;
    for (let at = 0; at + 4 <= body.length; at += 4) {
      assert.notEqual(body.readUInt32LE(at), STALE_WORD, `${name}: bytes from ${at} on were not written`);
    }
  }

  #learn(name: OpcodeName, body: Buffer): void {
    if (["LOOKUP", "CREATE", "MKDIR", "MKNOD", "SYMLINK", "LINK", "TMPFILE"].includes(name)) {
      this.#nodes.push(body.readBigUInt64LE(0));
    }
    if (name === "CREATE" || name === "TMPFILE") this.#handles.push(body.readBigUInt64LE(128));
    if (name === "OPEN" || name === "OPENDIR") this.#handles.push(body.readBigUInt64LE(0));
  }
}
