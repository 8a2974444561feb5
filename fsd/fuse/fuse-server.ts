import type { ShmemWindow } from "../../lib/vhost-user/shmem.js";
import type { RequestHandler, SegmentList } from "../../lib/virtio/segment-list.js";
import type { EventQueue } from "../events/event-queue.js";
import type { HostWatcher } from "../events/host-watcher.js";
import type { FsdMetrics } from "../metrics.js";
import type { MarkBroker } from "../passthrough/mark-broker.js";
import type { SharePolicy } from "../passthrough/share-policy.js";
import type { FsdState } from "../state.js";

/** Where the server reports what an operator should see. A winston logger fits. */
export interface FsdLog {
  debug(message: string): unknown;
  info(message: string): unknown;
  warn(message: string): unknown;
  error(message: string): unknown;
  /** Each request and what came of it; absent unless that is wanted. */
  trace?(message: string): unknown;
}

export interface FuseServerOptions extends SharePolicy {
  /** The directory that the guest sees as the root: its path, or an open descriptor of it (taken over by the server). */
  readonly root: string | number;
  /** The device's shared-memory window, or null where the device has none. */
  readonly window: ShmemWindow | null;
  /** What handles marks of overlays for a server that may not: see fsd/passthrough/overlay-marks.ts. */
  readonly markBroker?: MarkBroker | null;
  readonly metrics: FsdMetrics;
  /** How many system calls that take long are made on other threads at a time; with 0 the loop waits for each. */
  readonly longCallsMax: number;
  readonly log: FsdLog;
  /** Where the tables are that outlive a worker; without any the server has its own. */
  readonly state?: FsdState;
}

/** The request that another worker served when it died. */
export interface InterruptedRequest {
  readonly queueIndex: number;
  readonly head: number;
}

/** One virtio-fs device's FUSE server. All its queues call the same {@link FuseServer.handle}. */
export interface FuseServer extends RequestHandler {
  /** The first one to be given to {@link handleAgain}, if it was not answered; null in a server that comes after none. */
  readonly interrupted: InterruptedRequest | null;
  /** Like {@link RequestHandler.handle}, for a request that another worker has taken, and maybe done, but not answered. */
  handleAgain(queueIndex: number, head: number, readable: SegmentList, writable: SegmentList): number;
  /** The driver has been given back the request that was handled last. */
  answered(): void;
  /**
   * Starts to follow what the host changes in shared exports.
   * @param now a clock in milliseconds
   * @returns null for a device that has none
   * @throws SysError at the limit of inotify instances
   */
  followHost(device: string, queue: EventQueue, now?: () => number): HostWatcher | null;
  unfollowHost(): void;
  /** Requests that wait for locks. */
  readonly waiting: number;
  /** Tries those again, and answers those that need not wait any more. */
  serveWaiting(queues: KeptQueues): void;
  /** Whether other threads work on requests of the guest. */
  readonly hasCallsRunning: boolean;
  /** Whether a request can be answered whose system call was made on another thread. */
  hasDone(queues: KeptQueues): boolean;
  /** Answers those. */
  answerDone(queues: KeptQueues): void;
  /** Whether such calls have addresses of guest memory, which must stay mapped until `onUnused` is called. */
  keepsMemory(onUnused: () => void): boolean;
  /** The device was reset or its front end went away: every handle, inode and map of the session is dropped. */
  reset(): void;
  /** Ends the server: like {@link reset}, and the root is closed as well. */
  close(): void;
}

/** Where requests come from that {@link RequestHandler.handle} kept. */
export interface KeptQueues {
  isRunning(queueIndex: number): boolean;
  /** Lets `write` put the answer to the request into its place, and gives the request back with the bytes that `write` returns. */
  answer(queueIndex: number, head: number, write: (writable: SegmentList) => number): void;
}
