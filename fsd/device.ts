import { drainEventfd } from "../lib/sys/eventfd.js";
import { VhostUserBackend } from "../lib/vhost-user/backend.js";
import { BackendChannel, type ServeWhile } from "../lib/vhost-user/backend-channel.js";
import type { VhostUserEvents } from "../lib/vhost-user/device-model.js";
import type { SegmentList } from "../lib/virtio/segment-list.js";
import type { SplitVirtqueue } from "../lib/virtio/split-virtqueue.js";
import { VirtqueueError } from "../lib/virtio/virtqueue-error.js";
import { type DeviceMemory, daxWindowBytes } from "./device-memory.js";
import type { EventQueue } from "./events/event-queue.js";
import type { HostWatcher } from "./events/host-watcher.js";
import type { FsdLog, FuseServer, KeptQueues } from "./fuse/fuse-server.js";
import { createFuseServer } from "./fuse/server.js";
import { createFsdMetrics, type DeviceMetricsReport, reportDeviceMetrics } from "./metrics.js";
import { type DeviceOptions, deviceName } from "./options/device-options.js";
import { MarkBrokerSocket } from "./passthrough/mark-broker.js";
import type { Repaired } from "./passthrough/repair.js";
import { virtioFsConfig, virtioFsQueues } from "./virtio-fs-config.js";

/** How often requests that wait for a lock are tried again: soon at first, then less and less. */
const RETRY_MIN_MS = 1;
const RETRY_MAX_MS = 32;
/** So many requests of a queue are served before the other queues, and other devices, have their turn. */
const TURN_REQUESTS = 32;
const NO_CONFIG = new Uint8Array(0);

/** One virtio-fs device with its FUSE server, on one connection of a front end. */
export class FsDevice implements VhostUserEvents {
  readonly backend: VhostUserBackend;
  readonly queueCount: number;
  readonly #server: FuseServer;
  readonly #window: BackendChannel | null;
  readonly #metrics = createFsdMetrics();
  /** A map serves the front end in the midst of a request: what the session lives on goes away only after it. */
  #isServing = false;
  #retryMs = RETRY_MIN_MS;
  readonly #keptQueues: KeptQueues = {
    isRunning: (index) => this.backend.queues.get(index) !== undefined,
    answer: (index, head, write) => this.#answerKept(index, head, write),
  };
  /** Guest memory is held for system calls that other threads make. */
  #holdsMemory = false;
  readonly #onMemoryUnused = () => {
    this.#holdsMemory = false;
    this.backend.state.memory.release();
  };
  #watcher: HostWatcher | null = null;
  #needsReset = false;
  #isClosed = false;
  /** Queues with requests that another worker has taken and not answered. */
  readonly #again = new Set<number>();

  /** @param socketFd the connection, which belongs to the device from now on */
  constructor(
    socketFd: number,
    private readonly options: DeviceOptions,
    private readonly memory: DeviceMemory,
    private readonly log: FsdLog,
    longCallsMax: number,
    serveWhile: ServeWhile,
  ) {
    const windowBytes = daxWindowBytes(options);
    this.#window = windowBytes === 0 ? null : new BackendChannel(windowBytes, serveWhile);
    const { overlayBrokerFd } = options;
    this.queueCount = virtioFsQueues(options.requestQueues);
    this.#server = createFuseServer({
      ...options,
      markBroker:
        overlayBrokerFd === undefined ? null : new MarkBrokerSocket(overlayBrokerFd, memory.fs.session),
      root: options.sharedDir,
      window: this.#window,
      metrics: this.#metrics,
      longCallsMax,
      log,
      state: memory.fs,
    });
    this.backend = new VhostUserBackend(
      socketFd,
      {
        queueCount: this.queueCount,
        features: 0n,
        config: options.tag === undefined ? NO_CONFIG : virtioFsConfig(options.tag, options.requestQueues),
        shmemSizesBytes: windowBytes === 0 ? [] : [windowBytes],
        acknowledges: true,
      },
      this,
      memory.vhost,
    );
  }

  /**
   * Goes on where another worker stopped, whose memory and descriptors this device has.
   * @returns false when the front end has gone meanwhile
   * @throws VhostUserError, VirtqueueError, SysError
   */
  resume({ inodes, handles }: Repaired): boolean {
    this.#metrics.inodesLive = inodes;
    this.#metrics.handlesLive = handles;
    for (let index = 0; index < this.queueCount; index++) this.#again.add(index);
    this.backend.resume();
    return this.backend.receive();
  }

  /** Whether there is something for {@link serve} to do. */
  get hasWork(): boolean {
    if (this.#isClosed) return false;
    if (this.#server.hasDone(this.#keptQueues)) return true;
    for (const index of this.#again) if (this.backend.queues.get(index) !== undefined) return true;
    for (let index = 0; index < this.queueCount; index++) {
      if (this.backend.queues.get(index)?.hasNext === true) return true;
    }
    return false;
  }

  /** Whether {@link serve} is to be called: for work, or since what another device has done may be what a request waits for. */
  get needsService(): boolean {
    return !this.#isClosed && (this.#server.waiting > 0 || this.hasWork);
  }

  /** Whether other threads work on requests of the guest. */
  get hasCallsRunning(): boolean {
    return !this.#isClosed && this.#server.hasCallsRunning;
  }

  /**
   * Asks the driver to signal each queue for its next request, before the daemon sleeps; until then {@link serve} asks it not to.
   * @returns whether there is one meanwhile, for which it may not
   */
  requestKicks(): boolean {
    if (this.#isClosed) return false;
    let hasNext = false;
    for (let index = 0; index < this.queueCount; index++) {
      if (this.backend.queues.get(index)?.requestNotifications() === true) hasNext = true;
    }
    return hasNext;
  }

  /** The driver has signalled a queue. */
  kicked(index: number): void {
    const kickFd = this.backend.queues.kickFd(index);
    if (kickFd >= 0) drainEventfd(kickFd);
  }

  /** Serves some requests of each queue, the one for high priority first: those that are left are work still. */
  serve(): void {
    if (this.#isClosed) return;
    const { memory } = this.backend.state;
    memory.hold();
    this.#isServing = true;
    try {
      if (this.#again.size > 0) this.#serveAgain();
      this.#server.answerDone(this.#keptQueues);
      this.#serveQueues();
      this.#retryMs = RETRY_MIN_MS;
      // A lock that was given back may be what another request waits for.
      if (this.#server.waiting > 0) this.#server.serveWaiting(this.#keptQueues);
    } finally {
      this.#isServing = false;
      // What the guest changed is told from what others change by the time at which inotify is read.
      if (this.#watcher?.own.isEmpty === false) this.#watcher.drain();
      this.#holdMemory();
      memory.release();
      this.#settle();
    }
  }

  /** What system calls on other threads read and write stays mapped until they are done, whatever the front end takes away. */
  #holdMemory(): void {
    const { memory } = this.backend.state;
    if (!this.#server.keepsMemory(this.#onMemoryUnused) || this.#holdsMemory) return;
    this.#holdsMemory = true;
    memory.hold();
  }

  /** After how long {@link retryWaiting} is to be called, or -1. */
  get retryAfterMs(): number {
    return this.#isClosed || this.#server.waiting === 0 ? -1 : this.#retryMs;
  }

  /** Tries again what waits for locks of others on the host. */
  retryWaiting(): void {
    if (this.retryAfterMs < 0) return;
    const retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
    this.serve();
    this.#retryMs = retryMs;
  }

  /** Serves what another worker has taken and not answered: first the request that it served when it died. */
  #serveAgain(): void {
    const { interrupted } = this.#server;
    const first = interrupted?.queueIndex ?? -1;
    for (const index of [...this.#again].sort((a, b) => Number(b === first) - Number(a === first))) {
      const queue = this.backend.queues.get(index);
      if (queue === undefined) continue;
      this.#again.delete(index);
      const heads = queue.unanswered();
      if (interrupted?.queueIndex === index)
        heads.sort((a, b) => Number(b === interrupted.head) - Number(a === interrupted.head));
      for (const head of heads) {
        this.#guard(index, () => {
          queue.resume(head);
          const written = this.#server.handleAgain(index, head, queue.readable, queue.writable);
          if (written < 0) queue.defer();
          else this.#complete(index, queue, head, written);
        });
      }
    }
  }

  /** Does something with a queue, which is broken if that shows that the guest broke the rules. */
  #guard(index: number, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof VirtqueueError)) throw error;
      this.backend.queues.break(index, error);
    }
  }

  #serveQueues(): void {
    for (let index = 0; index < this.queueCount; index++) {
      const queue = this.backend.queues.get(index);
      if (queue === undefined) continue;
      try {
        this.#serveQueue(index, queue);
      } catch (error) {
        if (!(error instanceof VirtqueueError)) throw error;
        this.backend.queues.break(index, error);
      }
    }
  }

  /** Starts to follow what the host changes in shared exports, for `queue`. @throws SysError at the limit of inotify instances */
  followHost(queue: EventQueue): void {
    if (!this.#isClosed) this.#watcher = this.#server.followHost(deviceName(this.options), queue);
  }

  unfollowHost(): void {
    this.#watcher = null;
    if (!this.#isClosed) this.#server.unfollowHost();
  }

  /** Readable when the host has changed something; -1 when nobody follows. */
  get hostEventsFd(): number {
    return this.#watcher?.fd ?? -1;
  }

  /** Takes what the host has changed, and apart from it what has been changed for the guest. */
  takeHostEvents(): void {
    this.#watcher?.drain();
  }

  report(): DeviceMetricsReport {
    return reportDeviceMetrics(deviceName(this.options), this.#window?.lengthBytes ?? 0, this.#metrics);
  }

  close(): void {
    if (this.#isClosed) return;
    this.backend.close();
    this.unfollowHost();
    this.#isClosed = true;
    if (!this.#isServing) this.#settle();
  }

  queueStarted(): void {}

  /** A machine that was paused goes on with its session, and gets the answers that it has not got. */
  queueStopped(): void {}

  deviceReset(): void {
    this.#needsReset = true;
    if (!this.#isServing) this.#settle();
  }

  backendSocket(fd: number): void {
    this.#window?.attach(this.backend, fd);
  }

  queueBroken(index: number, error: VirtqueueError): void {
    this.log.error(
      `${deviceName(this.options)}: queue ${index} is stopped, the guest broke the rules: ${error.message}`,
    );
  }

  /** Does what had to wait for the end of a request. */
  #settle(): void {
    if (this.#needsReset) this.#server.reset();
    this.#needsReset = false;
    if (!this.#isClosed) return;
    this.#server.close();
    this.memory.erase();
  }

  /** Answers a request that was kept. */
  #answerKept(index: number, head: number, write: (writable: SegmentList) => number): void {
    const queue = this.backend.queues.get(index);
    if (queue === undefined) return;
    this.#guard(index, () => {
      queue.resume(head);
      this.#complete(index, queue, head, write(queue.writable));
    });
  }

  /** Gives a request back to the driver. @returns whether the queue goes on */
  #complete(index: number, queue: SplitVirtqueue, head: number, written: number): boolean {
    const goesOn = this.backend.queues.complete(index, queue, head, written);
    this.#server.answered();
    return goesOn;
  }

  #serveQueue(index: number, queue: SplitVirtqueue): void {
    queue.suppressNotifications();
    let left = TURN_REQUESTS;
    // Nobody need say that there are more: the queue is looked at before the daemon sleeps.
    for (let head = queue.next(); head >= 0; head = queue.next()) {
      left--;
      const written = this.#server.handle(index, head, queue.readable, queue.writable);
      // A map serves the front end meanwhile, which may have stopped the queue.
      if (written < 0) queue.defer();
      else if (!this.#complete(index, queue, head, written)) return;
      if (left <= 0 || this.backend.queues.get(index) !== queue) return;
    }
  }
}
