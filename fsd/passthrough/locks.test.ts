import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { F_UNLCK, F_WRLCK, flock, LOCK_EX, LOCK_NB, RecordLock } from "../../lib/sys/record-lock.js";
import { openDescriptors } from "../../lib/sys/testing/open-descriptors.js";
import { Opcode, OUT_HEADER_BYTES } from "../fuse/constants.js";
import { BufferSegments } from "../testing/buffer-segments.js";
import { type Fixture, serveDirectory } from "../testing/fixture.js";
import { checkReply } from "../testing/reply-rules.js";
import { ROOT, type TestGuest, u32, u64 } from "../testing/test-guest.js";

const READ = 0;
const WRITE = 1;
const UNLOCK = 2;
const END = 0x7fff_ffff_ffff_ffffn;
const FLOCK = 1;

/** struct fuse_lk_in */
interface Lock {
  owner: bigint;
  type: number;
  start?: bigint;
  end?: bigint;
  pid?: number;
  flags?: number;
  fh?: bigint;
}

class LockingGuest {
  readonly node: bigint;
  readonly fh: bigint;
  readonly guest: TestGuest;
  #head = 0;
  readonly #waiting = new Map<number, { request: Buffer; writable: BufferSegments }>();

  constructor(
    readonly fixture: Fixture,
    dir = fixture.dir,
  ) {
    this.guest = fixture.guest;
    writeFileSync(join(dir, "file"), "content");
    this.node = this.guest.lookup(ROOT, "file").nodeId;
    this.fh = this.guest.open(this.node, 2);
  }

  send(opcode: number, lock: Lock) {
    return this.guest.send(opcode, this.node, [this.#bytes(lock)]);
  }

  set(lock: Lock): string {
    return this.send(Opcode.SETLK, lock).error;
  }

  flush(owner: bigint): string {
    return this.guest.send(Opcode.FLUSH, this.node, [u64(this.fh), u64(0n), u64(owner)]).error;
  }

  /** Sends SETLKW. @returns its head if it waits, or the name of its error */
  wait(lock: Lock): number | string {
    const head = ++this.#head;
    const body = this.#bytes(lock);
    const request = Buffer.concat([u32(40 + body.length, Opcode.SETLKW), u64(BigInt(head), this.node)]);
    const whole = Buffer.concat([request, u32(0, 0, 1, 0), body]);
    const writable = new BufferSegments([Buffer.alloc(OUT_HEADER_BYTES)]);
    const written = this.fixture.server.handle(1, head, new BufferSegments([whole]), writable);
    if (written < 0) {
      this.#waiting.set(head, { request: whole, writable });
      return head;
    }
    checkReply(whole, OUT_HEADER_BYTES, writable.bytes().subarray(0, written));
    return `errno ${-writable.bytes().readInt32LE(4)}`;
  }

  /** Lets the server try again. @returns the heads of the requests that were answered with success */
  granted(): number[] {
    const heads: number[] = [];
    this.fixture.server.serveWaiting({
      isRunning: () => true,
      answer: (queueIndex, head, write) => {
        assert.equal(queueIndex, 1);
        const waiting = this.#waiting.get(head);
        assert.ok(waiting, `request ${head} waits`);
        this.#waiting.delete(head);
        const written = write(waiting.writable);
        checkReply(waiting.request, OUT_HEADER_BYTES, waiting.writable.bytes().subarray(0, written));
        if (waiting.writable.bytes().readInt32LE(4) === 0) heads.push(head);
      },
    });
    return heads;
  }

  #bytes({ owner, type, start = 0n, end = END, pid = 0, flags = 0, fh = this.fh }: Lock): Buffer {
    return Buffer.concat([u64(fh, owner, start, end), u32(type, pid, flags, 0)]);
  }
}

const lockingGuest = (t: TestContext, options = {}) => new LockingGuest(serveDirectory(t, options));

/** Whether the host may lock the bytes of the file for itself. */
function isFreeOnHost(dir: string, start: bigint, end: bigint): boolean {
  const fd = openSync(join(dir, "file"), "r+");
  const lock = new RecordLock();
  lock.fill(F_WRLCK, start, end);
  assert.equal(lock.test(fd), 0);
  closeSync(fd);
  return lock.type === F_UNLCK;
}

test("POSIX locks exclude each other by owner and range, and are the host's", (t) => {
  const guest = lockingGuest(t);
  const { dir } = guest.fixture;
  assert.equal(guest.set({ owner: 1n, type: WRITE, start: 10n, end: 19n }), "");
  assert.equal(guest.set({ owner: 1n, type: WRITE, start: 15n, end: 29n }), "", "an owner's own");
  assert.equal(guest.set({ owner: 2n, type: READ, start: 29n, end: 40n }), "EAGAIN");
  assert.equal(guest.set({ owner: 2n, type: READ, start: 30n, end: 40n }), "");
  assert.equal(guest.set({ owner: 3n, type: READ, start: 35n, end: END }), "");
  assert.equal(guest.set({ owner: 3n, type: WRITE, start: 40n, end: 40n }), "EAGAIN");
  assert.equal(isFreeOnHost(dir, 0n, 9n), true);
  assert.equal(isFreeOnHost(dir, 29n, 29n), false);
  assert.equal(isFreeOnHost(dir, 1n << 62n, 1n << 62n), false, "up to the end");
  assert.equal(guest.set({ owner: 1n, type: UNLOCK, start: 12n, end: 13n }), "");
  assert.equal(isFreeOnHost(dir, 12n, 13n), true);
  assert.equal(isFreeOnHost(dir, 11n, 11n), false);
});

test("GETLK names what is in the way, and its process if that is this guest's", (t) => {
  const guest = lockingGuest(t);
  const ask = (lock: Lock) => {
    const { body } = guest.send(Opcode.GETLK, lock);
    return [
      body.readBigUInt64LE(0),
      body.readBigUInt64LE(8),
      body.readUInt32LE(16),
      body.readUInt32LE(20),
    ] as const;
  };
  assert.deepEqual(ask({ owner: 1n, type: WRITE }), [0n, 0n, UNLOCK, 0]);
  guest.set({ owner: 1n, type: WRITE, start: 5n, end: 19n, pid: 77 });
  guest.set({ owner: 1n, type: UNLOCK, start: 10n, end: 19n });
  assert.deepEqual(ask({ owner: 2n, type: READ }), [5n, 9n, WRITE, 77]);
  assert.deepEqual(ask({ owner: 1n, type: WRITE }), [0n, 0n, UNLOCK, 0], "not one's own");
  const fd = openSync(join(guest.fixture.dir, "file"), "r+");
  const host = new RecordLock();
  host.fill(F_WRLCK, 100n, END);
  assert.equal(host.set(fd), 0);
  assert.deepEqual(ask({ owner: 1n, type: WRITE, start: 50n }), [100n, END, WRITE, 0], "the host's");
  assert.equal(guest.set({ owner: 1n, type: WRITE, start: 200n }), "EAGAIN");
  closeSync(fd);
  assert.equal(guest.set({ owner: 1n, type: WRITE, start: 200n }), "");
});

test("FLUSH gives back what its owner has, and nobody else's", (t) => {
  const guest = lockingGuest(t);
  guest.set({ owner: 1n, type: WRITE, start: 0n, end: 0n });
  guest.set({ owner: 2n, type: WRITE, start: 1n, end: 1n });
  assert.equal(guest.flush(1n), "");
  assert.equal(isFreeOnHost(guest.fixture.dir, 0n, 0n), true);
  assert.equal(isFreeOnHost(guest.fixture.dir, 1n, 1n), false);
  assert.equal(guest.flush(9n), "", "an owner without locks");
  guest.fixture.server.reset();
  assert.equal(isFreeOnHost(guest.fixture.dir, 0n, END), true, "the session's end gives back all");
});

test("locks of an open file description end with it, for which the guest sends no FLUSH", (t) => {
  const guest = lockingGuest(t);
  const fh = guest.guest.open(guest.node, 2);
  assert.equal(guest.set({ owner: 5n, type: WRITE, start: 0n, end: 9n, fh }), "");
  assert.equal(guest.set({ owner: 1n, type: WRITE, start: 10n, end: 19n }), "");
  assert.equal(guest.guest.send(Opcode.RELEASE, guest.node, [u64(fh), u32(0, 0), u64(0n)]).error, "");
  assert.equal(isFreeOnHost(guest.fixture.dir, 0n, 9n), true);
  assert.equal(isFreeOnHost(guest.fixture.dir, 10n, 19n), false, "another one's");
});

test("SETLKW waits until another owner, or the host, gives back", (t) => {
  const guest = lockingGuest(t);
  guest.set({ owner: 1n, type: WRITE });
  const second = guest.wait({ owner: 2n, type: WRITE });
  assert.equal(second, 1);
  assert.deepEqual(guest.granted(), []);
  guest.set({ owner: 1n, type: UNLOCK });
  assert.deepEqual(guest.granted(), [1]);
  assert.equal(isFreeOnHost(guest.fixture.dir, 0n, 0n), false);
  assert.equal(guest.fixture.server.waiting, 0);
  guest.flush(2n);
  const fd = openSync(join(guest.fixture.dir, "file"), "r+");
  const host = new RecordLock();
  host.fill(F_WRLCK, 0n, 0n);
  host.set(fd);
  assert.equal(guest.wait({ owner: 2n, type: READ }), 2);
  assert.deepEqual(guest.granted(), []);
  closeSync(fd);
  assert.deepEqual(guest.granted(), [2]);
  assert.equal(guest.wait({ owner: 3n, type: READ }), "errno 0", "nothing in the way");
});

test("who would wait for itself is told so", (t) => {
  const guest = lockingGuest(t);
  const at = (byte: bigint) => ({ start: byte, end: byte });
  for (const owner of [1n, 2n, 3n]) guest.set({ owner, type: WRITE, ...at(owner) });
  assert.equal(typeof guest.wait({ owner: 1n, type: WRITE, ...at(2n) }), "number");
  assert.equal(typeof guest.wait({ owner: 2n, type: READ, ...at(3n) }), "number");
  assert.equal(guest.wait({ owner: 3n, type: WRITE, ...at(1n) }), "errno 35", "EDEADLK");
  assert.equal(typeof guest.wait({ owner: 4n, type: WRITE, ...at(1n) }), "number", "waits, in no circle");
  guest.flush(3n);
  assert.deepEqual(guest.granted(), [2]);
});

test("requests that wait are bounded, and end with the session", (t) => {
  const guest = lockingGuest(t);
  guest.set({ owner: 1n, type: WRITE });
  for (let owner = 2n; owner < 66n; owner++) guest.wait({ owner, type: WRITE });
  assert.equal(guest.fixture.server.waiting, 64);
  assert.equal(guest.wait({ owner: 99n, type: WRITE }), "errno 37", "ENOLCK");
  guest.fixture.server.reset();
  assert.equal(guest.fixture.server.waiting, 0);
  const open = openDescriptors().length;
  assert.deepEqual(guest.granted(), []);
  assert.equal(openDescriptors().length, open);
});

test("flock is the handle's, shared with the host, and goes with RELEASE", (t) => {
  const guest = lockingGuest(t);
  const other = guest.guest.open(guest.node, 0);
  assert.equal(guest.set({ owner: 1n, type: WRITE, flags: FLOCK }), "");
  assert.equal(guest.set({ owner: 2n, type: READ, flags: FLOCK, fh: other }), "EAGAIN");
  const fd = openSync(join(guest.fixture.dir, "file"), "r");
  assert.equal(flock(fd, LOCK_EX | LOCK_NB), -1);
  assert.equal(guest.wait({ owner: 2n, type: WRITE, flags: FLOCK, fh: other }), 1);
  guest.guest.call(Opcode.RELEASE, guest.node, [u64(guest.fh), u32(0, 2), u64(1n)]);
  assert.deepEqual(guest.granted(), [1]);
  assert.equal(guest.set({ owner: 2n, type: UNLOCK, flags: FLOCK, fh: other }), "");
  assert.equal(flock(fd, LOCK_EX | LOCK_NB), 0);
  assert.equal(guest.set({ owner: 2n, type: READ, flags: FLOCK, fh: other }), "EAGAIN");
  closeSync(fd);
});

test("requests that cannot be are refused", (t) => {
  const guest = lockingGuest(t);
  assert.equal(guest.set({ owner: 1n, type: WRITE, fh: 99n }), "EBADF");
  assert.equal(guest.set({ owner: 1n, type: 7 }), "EINVAL");
  assert.equal(guest.set({ owner: 1n, type: WRITE, start: 5n, end: 4n }), "EINVAL");
  assert.equal(guest.set({ owner: 1n, type: WRITE, start: -1n }), "EINVAL");
  assert.equal(guest.set({ owner: 1n, type: WRITE, end: -1n }), "EINVAL");
  assert.equal(guest.guest.send(Opcode.SETLK, guest.node, [u64(guest.fh)]).error, "EINVAL");
  assert.equal(guest.guest.send(Opcode.GETLK, 99n, [Buffer.alloc(48)]).error, "ESTALE");
});

test("without locks of the host FLUSH is never to be sent again", (t) => {
  assert.equal(lockingGuest(t, { posixLock: false }).flush(1n), "ENOSYS");
  assert.equal(lockingGuest(t).flush(1n), "");
});

test("files that nobody writes to are closed without FLUSH", (t) => {
  const { guest } = serveDirectory(t, { exports: [{ pattern: ["fixed"], policy: "immutable" }] }, (dir) => {
    mkdirSync(join(dir, "fixed"));
    writeFileSync(join(dir, "fixed", "file"), "x");
    writeFileSync(join(dir, "file"), "x");
  });
  const hasNoFlush = (path: string) => {
    const { nodeId } = guest.walk(path);
    return (guest.call(Opcode.OPEN, nodeId, [u32(0, 0)]).readUInt32LE(8) & 32) !== 0;
  };
  assert.equal(hasNoFlush("fixed/file"), true);
  assert.equal(hasNoFlush("file"), false);
});

test("two guests, each with a server of its own, share the locks of a directory", (t) => {
  const first = lockingGuest(t);
  const second = new LockingGuest(serveDirectory(t, { root: first.fixture.dir }), first.fixture.dir);
  assert.equal(first.set({ owner: 1n, type: WRITE, start: 0n, end: 9n }), "");
  assert.equal(second.set({ owner: 1n, type: READ, start: 9n, end: 9n }), "EAGAIN", "its owners are others");
  assert.equal(second.wait({ owner: 1n, type: WRITE, start: 0n, end: 20n }), 1);
  assert.deepEqual(second.granted(), []);
  first.flush(1n);
  assert.deepEqual(second.granted(), [1]);
  assert.equal(first.set({ owner: 1n, type: READ, start: 20n, end: 20n }), "EAGAIN");
  assert.equal(first.set({ owner: 1n, type: WRITE, flags: FLOCK }), "");
  assert.equal(second.set({ owner: 1n, type: WRITE, flags: FLOCK }), "EAGAIN");
});
