import { close, F_DUPFD_CLOEXEC, fcntl } from "../../lib/sys/file.js";
import { lastErrno } from "../../lib/sys/libc.js";
import { IN_HEADER_BYTES } from "../fuse/constants.js";
import type { FuseReply } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";

/** Requests of a device whose calls are under way or wait for a thread. One more is served as if there were no threads. */
const CALLS_MAX = 64;

/** A system call for a request, on descriptors of its own. */
export interface LongCall {
  /** Makes the call on another thread. `done` is called with its result on this one, errno being that of the call. */
  start(fds: readonly number[], done: (result: number) => void): void;
  /** Makes of the result, or -errno, that of the operation: see {@link import("./operation.js").Operation}. */
  finish(result: number, fds: readonly number[], reply: FuseReply): number;
  /** Whether it has addresses of the guest's memory. */
  readonly usesGuestMemory: boolean;
}

/** A request that waits for its call. */
export interface Asked {
  readonly queueIndex: number;
  readonly head: number;
  /** A copy of its struct fuse_in_header. */
  readonly header: Uint8Array;
  /** The inode that the call changes, 0 if nobody wants to know. */
  readonly changes: number;
}

interface Begun {
  readonly call: LongCall;
  readonly fds: readonly number[];
}

interface Kept extends Begun {
  readonly asked: Asked;
  state: "waiting" | "running" | "done";
  /** What the call returned, or -errno. */
  result: number;
}

/**
 * System calls that take as long as a disk needs. They are made on threads of libuv's pool while the loop serves other requests; their own
 * requests are answered when they are done. Those threads have no capabilities: what depends on some is not for them.
 *
 * Each call has duplicates of its descriptors, so that the guest may release or forget what it likes meanwhile.
 */
export class LongCalls {
  /** In the order in which they were asked for. */
  #kept: Kept[] = [];
  #begun: Begun | undefined;
  #running = 0;
  /** Calls that have addresses of guest memory: those kept, and those that run on after {@link reset}. */
  #usingMemory = 0;
  /** Told when no call has addresses of guest memory any more. */
  onMemoryUnused: () => void = () => {};

  /** @param threadsMax how many run at a time; with 0 none ever does */
  constructor(private readonly threadsMax: number) {}

  /**
   * Begins a call for the request being served: its operation returns UNDER_WAY, upon which {@link keep} is called.
   * @param fds descriptors that the call needs, which stay the caller's
   * @returns false if the request must be served at once
   */
  begin(fds: readonly number[], call: LongCall): boolean {
    if (this.threadsMax === 0 || this.#kept.length === CALLS_MAX) return false;
    const own = fds.map((fd) => fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (own.includes(-1)) {
      closeAll(own);
      return false;
    }
    this.#begun = { call, fds: own };
    return true;
  }

  /** Keeps the request for which {@link begin} was called. @param changes the inode that it changes, or 0 */
  keep(request: FuseRequest, queueIndex: number, head: number, changes: number): void {
    const begun = this.#begun;
    if (begun === undefined) throw new Error("no call was begun");
    this.#begun = undefined;
    const asked = { queueIndex, head, header: request.bytes.slice(0, IN_HEADER_BYTES), changes };
    this.#kept.push({ ...begun, asked, state: "waiting", result: 0 });
    if (begun.call.usesGuestMemory) this.#usingMemory++;
    this.#startWaiting();
  }

  /** Whether a call runs whose request is to be answered. */
  get areRunning(): boolean {
    return this.#running > 0 && this.#kept.some(({ state }) => state === "running");
  }

  /** Whether nothing is under way, for a request or after {@link reset}. */
  get areNone(): boolean {
    return this.#running === 0 && this.#kept.length === 0;
  }

  get usesGuestMemory(): boolean {
    return this.#usingMemory > 0;
  }

  /** Whether an answer waits for a queue for which `isRunning`. */
  hasDone(isRunning: (queueIndex: number) => boolean): boolean {
    // Asked for each look at the rings.
    if (this.#kept.length === 0) return false;
    return this.#kept.some(({ state, asked }) => state === "done" && isRunning(asked.queueIndex));
  }

  /** Answers what is done, `finish` making the operation's result. What came by a queue that does not run is kept. */
  takeDone(
    isRunning: (queueIndex: number) => boolean,
    answer: (asked: Asked, finish: (reply: FuseReply) => number) => void,
  ): void {
    if (!this.hasDone(isRunning)) return;
    const done = this.#kept.filter(({ state, asked }) => state === "done" && isRunning(asked.queueIndex));
    this.#kept = this.#kept.filter((kept) => !done.includes(kept));
    for (const kept of done) {
      const { asked, call, result, fds } = kept;
      answer(asked, (reply) => call.finish(result, fds, reply));
      this.#drop(kept);
    }
  }

  /** Nobody waits for an answer any more. What runs ends by itself. */
  reset(): void {
    const given = this.#kept;
    this.#kept = [];
    for (const kept of given) if (kept.state !== "running") this.#drop(kept);
  }

  #startWaiting(): void {
    for (const kept of this.#kept) {
      if (this.#running >= this.threadsMax) return;
      if (kept.state === "waiting") this.#start(kept);
    }
  }

  #start(kept: Kept): void {
    kept.state = "running";
    this.#running++;
    kept.call.start(kept.fds, (result) => {
      kept.result = result < 0 ? -lastErrno() : result;
      kept.state = "done";
      this.#running--;
      if (!this.#kept.includes(kept)) this.#drop(kept);
      this.#startWaiting();
    });
  }

  #drop({ call, fds }: Begun): void {
    closeAll(fds);
    if (call.usesGuestMemory && --this.#usingMemory === 0) this.onMemoryUnused();
  }
}

function closeAll(fds: readonly number[]): void {
  for (const fd of fds) if (fd >= 0) close(fd);
}
