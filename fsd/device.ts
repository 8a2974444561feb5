import { drainEventfd } from "../lib/sys/eventfd.js";
import { VhostUserBackend, type VhostUserEvents } from "../lib/vhost-user/backend.js";
import { BackendChannel, type ServeWhile } from "../lib/vhost-user/backend-channel.js";
import type { SegmentList } from "../lib/virtio/segment-list.js";
import { type SplitVirtqueue, VirtqueueError } from "../lib/virtio/split-virtqueue.js";
import type { EventQueue } from "./events/event-queue.js";
import type { HostWatcher } from "./events/host-watcher.js";
import { createFuseServer, type FsdLog, type FuseServer, type WaitingQueues } from "./fuse/server.js";
import { createFsdMetrics, type DeviceMetricsReport, reportDeviceMetrics } from "./metrics.js";
import { type DeviceOptions, deviceName } from "./options/device-options.js";
import { MarkBrokerSocket } from "./passthrough/mark-broker.js";
import { virtioFsConfig, virtioFsQueues } from "./virtio-fs-config.js";

/** How often requests that wait for a lock are tried again: soon at first, then less and less. */
const RETRY_MIN_MS = 1;
const RETRY_MAX_MS = 32;
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
  readonly #waitingQueues: WaitingQueues = {
    isRunning: (index) => this.backend.queue(index) !== undefined,
    answer: (index, head, write) => this.#answerWaiting(index, head, write),
  };
  #watcher: HostWatcher | null = null;
  #needsReset = false;
  #isClosed = false;

  /** @param socketFd the connection, which belongs to the device from now on */
  constructor(
    socketFd: number,
    private readonly options: DeviceOptions,
    private readonly log: FsdLog,
    serveWhile: ServeWhile,
  ) {
    const windowBytes = options.dax === "never" ? 0 : options.daxWindowBytes;
    this.#window = windowBytes === 0 ? null : new BackendChannel(windowBytes, serveWhile);
    const { overlayBrokerFd } = options;
    this.queueCount = virtioFsQueues(options.requestQueues);
    this.#server = createFuseServer({
      ...options,
      markBroker: overlayBrokerFd === undefined ? null : new MarkBrokerSocket(overlayBrokerFd),
      root: options.sharedDir,
      window: this.#window,
      metrics: this.#metrics,
      log,
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
    );
  }

  /** Whether a queue has requests that were not taken. */
  get hasWork(): boolean {
    for (let index = 0; index < this.queueCount; index++) {
      if (this.backend.queue(index)?.hasNext === true) return true;
    }
    return false;
  }

  /** The driver has signalled a queue. */
  kicked(index: number): void {
    const kickFd = this.backend.kickFd(index);
    if (kickFd >= 0) drainEventfd(kickFd);
  }

  /** Serves all requests of all queues, the one for high priority first. */
  serve(): void {
    if (this.#isClosed) return;
    const { memory } = this.backend.state;
    memory.hold();
    this.#isServing = true;
    try {
      this.#serveQueues();
      this.#retryMs = RETRY_MIN_MS;
      // A lock that was given back may be what another request waits for.
      if (this.#server.waiting > 0) this.#server.serveWaiting(this.#waitingQueues);
    } finally {
      this.#isServing = false;
      // What the guest changed is told from what others change by the time at which inotify is read.
      if (this.#watcher?.own.isEmpty === false) this.#watcher.drain();
      memory.release();
      this.#settle();
    }
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

  #serveQueues(): void {
    for (let index = 0; index < this.queueCount; index++) {
      const queue = this.backend.queue(index);
      if (queue === undefined) continue;
      try {
        this.#serveQueue(index, queue);
      } catch (error) {
        if (!(error instanceof VirtqueueError)) throw error;
        this.backend.breakQueue(index, error);
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

  queueStopped(): void {
    // QEMU drops all maps when it resets the device, and the driver all nodes.
    if (this.backend.isRunning) return;
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
    if (this.#isClosed) this.#server.close();
  }

  #answerWaiting(index: number, head: number, write: (writable: SegmentList) => number): void {
    const queue = this.backend.queue(index);
    if (queue === undefined) return;
    try {
      queue.resume(head);
      this.backend.complete(index, queue, head, write(queue.writable));
    } catch (error) {
      if (!(error instanceof VirtqueueError)) throw error;
      this.backend.breakQueue(index, error);
    }
  }

  #serveQueue(index: number, queue: SplitVirtqueue): void {
    queue.suppressNotifications();
    do {
      for (let head = queue.next(); head >= 0; head = queue.next()) {
        const written = this.#server.handle(index, head, queue.readable, queue.writable);
        if (written < 0) {
          queue.defer();
          continue;
        }
        // A map serves the front end meanwhile, which may have stopped the queue.
        if (!this.backend.complete(index, queue, head, written)) return;
        if (this.backend.queue(index) !== queue) return;
      }
    } while (queue.requestNotifications());
  }
}
