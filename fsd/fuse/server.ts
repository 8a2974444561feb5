import { Errno } from "../../lib/sys/errno.js";
import type { SegmentList } from "../../lib/virtio/segment-list.js";
import type { EventQueue } from "../events/event-queue.js";
import { HostWatcher } from "../events/host-watcher.js";
import type { FsdMetrics } from "../metrics.js";
import { serveAgain } from "../passthrough/again.js";
import { FileSystem } from "../passthrough/file-system.js";
import { batchForget, forget } from "../passthrough/lookup.js";
import { ANSWERED_LATER, type Operation, UNDER_WAY } from "../passthrough/operation.js";
import { operations } from "../passthrough/operations.js";
import { changedInode, noteOwnChange } from "../passthrough/own-change.js";
import { ReplayDesk } from "../passthrough/replay.js";
import { IN_HEADER_BYTES, OPCODE_LIMIT, Opcode, OUT_HEADER_BYTES } from "./constants.js";
import type { FsdLog, FuseServer, FuseServerOptions, InterruptedRequest, KeptQueues } from "./fuse-server.js";
import { shakeHands } from "./handshake.js";
import type { InitWishes } from "./init.js";
import { opcodeName } from "./opcode-name.js";
import { FuseReply } from "./reply.js";
import { FuseRequest } from "./request.js";

/**
 * Clears the process's umask: what the guest creates has the mode that the guest decided on.
 * @throws Error of node:fs if the root cannot be opened; RangeError for options that do not fit together.
 */
export function createFuseServer(options: FuseServerOptions): FuseServer {
  if (options.dax === "always" && !options.readOnly) {
    throw new RangeError(
      "dax=always needs a read-only device: files that the guest may write to are not mapped",
    );
  }
  process.umask(0);
  return new FuseServerImpl(options);
}

/** The largest errno that a reply may carry. */
const ERRNO_MAX = 511;
/** Lines that one guest may cause in the log. */
const LINES_MAX = 100;
/** Answered ENOSYS without --xattr, after which the guest asks no more. */
const XATTR_OPCODES: readonly number[] = [
  Opcode.SETXATTR,
  Opcode.GETXATTR,
  Opcode.LISTXATTR,
  Opcode.REMOVEXATTR,
];

class FuseServerImpl implements FuseServer {
  readonly #fs: FileSystem;
  readonly #request = new FuseRequest();
  readonly #reply = new FuseReply();
  /** By opcode. */
  readonly #operations: ReadonlyArray<Operation | undefined>;
  readonly #metrics: FsdMetrics;
  readonly #log: FsdLog;
  /** Where the guest's agent announces replays of what the host changed; there is none without shared exports. */
  readonly #replays: ReplayDesk | null;
  #watcher: HostWatcher | null = null;
  readonly #wishes: InitWishes;
  #lines = 0;
  /** Whether the request being served is one that another worker may have done. */
  #again = false;
  readonly interrupted: InterruptedRequest | null;

  constructor(options: FuseServerOptions) {
    this.#fs = new FileSystem(options);
    const { queueIndex, head } = this.#fs.undo;
    this.interrupted = queueIndex < 0 ? null : { queueIndex, head };
    this.#metrics = options.metrics;
    this.#log = options.log;
    this.#replays = this.#fs.exports.some(({ isShared }) => isShared) ? new ReplayDesk() : null;
    this.#wishes = {
      ...options,
      // Nobody writes to what is static: locks on it mean something to this guest alone.
      posixLock: options.posixLock && !this.#fs.session.isStatic,
      flock: options.flock && !this.#fs.session.isStatic,
      hasWindow: this.#fs.dax !== null,
      perFileDax: options.dax === "inode",
      // What is not to be remembered need not be sent.
      readdirplus: options.readdirplus && (options.cache !== "never" || options.exports.length > 0),
    };
    const own: Record<number, Operation> = {
      [Opcode.INIT]: () => this.#init(),
      [Opcode.DESTROY]: () => this.#destroy(),
    };
    const left = options.xattr ? [] : XATTR_OPCODES;
    this.#operations = Array.from({ length: OPCODE_LIMIT }, (_, opcode) =>
      left.includes(opcode) ? undefined : (own[opcode] ?? operations[opcode]),
    );
  }

  handleAgain(queueIndex: number, head: number, readable: SegmentList, writable: SegmentList): number {
    const { interrupted } = this;
    const isIt = interrupted?.queueIndex === queueIndex && interrupted.head === head;
    this.#again = isIt;
    try {
      return this.handle(queueIndex, head, readable, writable);
    } finally {
      this.#again = false;
    }
  }

  handle(queueIndex: number, head: number, readable: SegmentList, writable: SegmentList): number {
    this.#fs.undo.begin(queueIndex, head, this.#again);
    const request = this.#request;
    let result = request.load(readable, writable);
    const opcode = request.opcode;
    const counters = this.#metrics.requestsByOpcode;
    if (opcode < counters.length) counters[opcode] = (counters[opcode] ?? 0) + 1;
    if (opcode === Opcode.FORGET || opcode === Opcode.BATCH_FORGET) {
      if (result === 0) this.#forget(opcode);
      return 0;
    }
    // Without a header there is nothing to answer to, and without room nothing to answer into.
    if (readable.byteLength < IN_HEADER_BYTES || writable.byteLength < OUT_HEADER_BYTES) return 0;
    if (result === 0) result = this.#serve(opcode);
    if (result === UNDER_WAY) {
      this.#keep(queueIndex, head);
      return -1;
    }
    if (result === ANSWERED_LATER) {
      if (this.#fs.waiters.add(request, queueIndex, head)) return -1;
      result = -Errno.ENOLCK;
    }
    this.#log.trace?.(`${opcodeName(opcode)} of node ${request.nodeIdLow}: ${result}`);
    return this.#answer(result, writable);
  }

  answered(): void {
    this.#fs.undo.end();
  }

  get waiting(): number {
    return this.#fs.waiters.count;
  }

  serveWaiting(queues: KeptQueues): void {
    const { waiters } = this.#fs;
    for (let index = 0; index < waiters.capacity && waiters.count > 0; index++) {
      if (!waiters.isWaiting(index) || !queues.isRunning(waiters.queueIndex(index))) continue;
      waiters.load(index, this.#request);
      const result = this.#serve(this.#request.opcode);
      if (result === ANSWERED_LATER) continue;
      const [queueIndex, head] = [waiters.queueIndex(index), waiters.head(index)];
      waiters.remove(index);
      queues.answer(queueIndex, head, (writable) => this.#answer(result, writable));
    }
  }

  /** Leaves the request with the threads for long calls. */
  #keep(queueIndex: number, head: number): void {
    const changes = this.#watcher === null ? 0 : changedInode(this.#fs, this.#request);
    if (changes !== 0) this.#watcher?.own.begin(changes);
    this.#fs.longCalls.keep(this.#request, queueIndex, head, changes);
  }

  get hasCallsRunning(): boolean {
    return this.#fs.longCalls.areRunning;
  }

  hasDone(queues: KeptQueues): boolean {
    return this.#fs.longCalls.hasDone(queues.isRunning);
  }

  answerDone(queues: KeptQueues): void {
    this.#fs.longCalls.takeDone(queues.isRunning, (asked, finish) => {
      queues.answer(asked.queueIndex, asked.head, (writable) => {
        this.#request.loadCopy(asked.header);
        this.#reply.bodyIsInPlace = false;
        if (asked.changes !== 0) this.#watcher?.own.end(asked.changes);
        return this.#answer(this.#finish(finish), writable);
      });
    });
  }

  #finish(finish: (reply: FuseReply) => number): number {
    try {
      return finish(this.#reply);
    } catch (error) {
      return this.#failed(error);
    }
  }

  keepsMemory(onUnused: () => void): boolean {
    const { longCalls } = this.#fs;
    if (longCalls.usesGuestMemory) longCalls.onMemoryUnused = onUnused;
    return longCalls.usesGuestMemory;
  }

  followHost(device: string, queue: EventQueue, now?: () => number): HostWatcher | null {
    this.unfollowHost();
    if (this.#replays === null) return null;
    this.#watcher = new HostWatcher(this.#fs, device, queue, now);
    this.#fs.observer = this.#watcher;
    return this.#watcher;
  }

  unfollowHost(): void {
    this.#fs.observer = null;
    this.#watcher?.close();
    this.#watcher = null;
  }

  reset(): void {
    this.#replays?.reset();
    this.#fs.reset();
  }

  close(): void {
    this.unfollowHost();
    this.#fs.close();
  }

  /** @returns the length of the reply's body, or -errno. Never throws: one request that fails must not end the device. */
  #serve(opcode: number): number {
    const operation = this.#operations[opcode];
    if (operation !== undefined && opcode !== Opcode.INIT && !this.#fs.session.isInitialised)
      return -Errno.ENOTCONN;
    this.#reply.bodyIsInPlace = false;
    this.#fs.beginRequest();
    this.#fs.answers.beforeRequest(this.#request);
    try {
      const replayed = this.#replays?.answer(this.#fs, this.#request, this.#reply);
      if (replayed !== undefined) return replayed;
      if (operation === undefined) return -Errno.ENOSYS;
      const result = this.#again
        ? serveAgain(operation, this.#fs, this.#request, this.#reply)
        : operation(this.#fs, this.#request, this.#reply);
      if (this.#watcher !== null && result >= 0) noteOwnChange(this.#fs, this.#request, this.#watcher.own);
      return result;
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** A request met what it should not: the guest is told EIO, the operator why. */
  #failed(error: unknown): number {
    const { opcode } = this.#request;
    this.#say("error", `FUSE request ${opcode} failed: ${error instanceof Error ? error.stack : error}`);
    return -Errno.EIO;
  }

  /** Logs what the guest caused, until there is so much of it that it may be meant to fill the log. */
  #say(level: "debug" | "info" | "warn" | "error", message: string): void {
    if (this.#lines++ < LINES_MAX) this.#log[level](message);
  }

  #forget(opcode: number): void {
    if (!this.#fs.session.isInitialised) return;
    if (opcode === Opcode.FORGET) forget(this.#fs, this.#request);
    else batchForget(this.#fs, this.#request);
  }

  /** Writes the header and, unless it is in guest memory already, the body. @returns the length of the reply. */
  #answer(result: number, writable: SegmentList): number {
    const { view, bytes, bodyIsInPlace } = this.#reply;
    let error = Math.min(result, 0);
    if (error < -ERRNO_MAX) error = -Errno.EIO;
    if (OUT_HEADER_BYTES + result > writable.byteLength) error = -Errno.EIO;
    if (error !== 0) {
      this.#metrics.errors++;
      if (this.#request.opcode === Opcode.SETUPMAPPING) this.#metrics.daxMapFailures++;
    }
    const length = error === 0 ? OUT_HEADER_BYTES + result : OUT_HEADER_BYTES;
    view.setUint32(0, length, true);
    view.setInt32(4, error, true);
    view.setUint32(8, this.#request.view.getUint32(8, true), true);
    view.setUint32(12, this.#request.view.getUint32(12, true), true);
    writable.copyOut(0, bytes, 0, error === 0 && bodyIsInPlace ? OUT_HEADER_BYTES : length);
    return length;
  }

  /** FUSE_INIT starts a session. The guest may start anew without FUSE_DESTROY: what it held before is dropped. */
  #init(): number {
    const { result, settled, level, message } = shakeHands(this.#request, this.#reply, this.#wishes);
    this.#say(level, message);
    if (settled === undefined) return result;
    if (this.#fs.session.isInitialised) this.#destroy();
    this.#fs.session.begin(settled);
    return result;
  }

  /** FUSE_DESTROY ends the session; the device runs on, so its maps must be taken back one by one. */
  #destroy(): number {
    try {
      this.#fs.dax?.unmapAll();
    } catch (error) {
      this.#say("warn", `a map could not be taken back: ${error instanceof Error ? error.message : error}`);
    }
    this.reset();
    return 0;
  }
}
