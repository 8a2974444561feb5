import { close } from "../lib/sys/file.js";
import { PollSet } from "../lib/sys/poll.js";
import { acceptUnix, MessageSocket } from "../lib/sys/unix-socket.js";
import type { ServeWhile } from "../lib/vhost-user/backend-channel.js";
import { FsDevice } from "./device.js";
import type { DeviceMemory } from "./device-memory.js";
import { EventStream } from "./events/event-stream.js";
import type { FsdLog } from "./fuse/fuse-server.js";
import { type DeviceOptions, deviceName } from "./options/device-options.js";
import type { Repaired } from "./passthrough/repair.js";
import { RingPolling } from "./ring-polling.js";
import { virtioFsQueues } from "./virtio-fs-config.js";

/** A device before its front end has come. */
export interface ListeningDevice {
  readonly options: DeviceOptions;
  readonly listeningFd: number;
  readonly memory: DeviceMemory;
  /** What was found in the memory, where another worker has served a front end there, with which this one goes on. */
  readonly repaired: Repaired | undefined;
}

/** A guest that always has requests keeps the sockets, signals and what other threads have done waiting for so long. */
const LOOK_AFTER_MS = 1;
/** Besides those of the devices: one of whoever waits, and those for counters and events. */
const COMMON_DESCRIPTORS = 3;
/** Of a device, besides its queues: its socket, and what the host changes. */
const DEVICE_DESCRIPTORS = 2;
/** When to try again to send events to somebody who does not take them. */
const EVENTS_RETRY_MS = 100;

/** Listening sockets beside those of the devices; -1 for none. */
export interface ServiceSockets {
  /** Each connection gets one JSON document. */
  readonly metricsFd: number;
  /** The connection gets a line of JSON for each change that the host makes. */
  readonly eventsFd: number;
}

interface Slot extends ListeningDevice {
  device: FsDevice | undefined;
}

/**
 * The daemon's one loop: it sleeps in poll(2) over all sockets and kicks, and everything else is done in order. Node's own
 * event loop runs only between two calls of {@link EventLoop.run}.
 */
export class EventLoop {
  readonly #slots: Slot[];
  readonly #polled: PollSet;
  readonly #rings = new RingPolling(
    () => this.#hasWork(),
    () => this.#areCallsRunning(),
  );
  #connected = 0;
  #hadFrontEnd = false;
  #lookedMs = 0;
  #follower: EventStream | undefined;

  /**
   * @param interruptFd makes {@link EventLoop.run} return when it is readable, or -1
   * @param longCallsMax of each device: how many system calls that take long are made on other threads at a time
   */
  constructor(
    listening: readonly ListeningDevice[],
    private readonly services: ServiceSockets,
    private readonly interruptFd: number,
    private readonly longCallsMax: number,
    private readonly log: FsdLog,
  ) {
    this.#slots = listening.map((device) => ({ ...device, device: undefined }));
    const needed = listening.map(({ options }) => DEVICE_DESCRIPTORS + virtioFsQueues(options.requestQueues));
    this.#polled = new PollSet(needed.reduce((sum, count) => sum + count, COMMON_DESCRIPTORS));
  }

  /**
   * Serves until the last front end has gone, or until there is something to do elsewhere: call it again after that.
   * @throws VhostUserError, SysError when a front end breaks the protocol
   */
  run(): "ended" | "interrupted" {
    for (;;) {
      if (this.#hadFrontEnd && this.#connected === 0) return "ended";
      this.#hadFrontEnd ||= this.#connected > 0;
      for (const { device } of this.#slots) device?.retryWaiting();
      const isBusy = this.#rings.look();
      const mayLook = !isBusy || performance.now() - this.#lookedMs >= LOOK_AFTER_MS;
      if (mayLook && this.#look(isBusy ? 0 : this.#timeoutMs())) return "interrupted";
      for (const { device } of this.#slots) if (device?.needsService === true) device.serve();
      if (this.#follower?.flush() === false) this.#unfollow();
    }
  }

  close(): void {
    for (const slot of this.#slots) {
      slot.device?.close();
      close(slot.listeningFd);
    }
    this.#unfollow();
    const { metricsFd, eventsFd } = this.services;
    if (metricsFd >= 0) close(metricsFd);
    if (eventsFd >= 0) close(eventsFd);
  }

  /** Looks at everything but the rings, and sleeps for that if there is time. @returns whether there is something to do elsewhere */
  #look(timeoutMs: number): boolean {
    // As long as the daemon is awake no driver need kick.
    const mayNotSleep = timeoutMs !== 0 && this.#requestKicks();
    const isInterrupted = this.#poll(this.interruptFd, mayNotSleep ? 0 : timeoutMs);
    this.#lookedMs = performance.now();
    return isInterrupted;
  }

  /** How long poll(2) may sleep: -1 for as long as nothing happens. */
  #timeoutMs(): number {
    let timeoutMs = this.#follower?.isBehind === true ? EVENTS_RETRY_MS : -1;
    for (const { device } of this.#slots) {
      const retryMs = device?.retryAfterMs ?? -1;
      if (retryMs >= 0 && (timeoutMs < 0 || retryMs < timeoutMs)) timeoutMs = retryMs;
    }
    return timeoutMs;
  }

  #hasWork(): boolean {
    for (const { device } of this.#slots) if (device?.hasWork === true) return true;
    return false;
  }

  /** Whether other threads work on requests. Their end is seen by poll(2) alone; and they want the processor. */
  #areCallsRunning(): boolean {
    for (const { device } of this.#slots) if (device?.hasCallsRunning === true) return true;
    return false;
  }

  /** Asks all drivers to kick from now on. @returns whether one has made a request meanwhile, for which it may not */
  #requestKicks(): boolean {
    let hasWork = false;
    for (const { device } of this.#slots) if (device?.requestKicks() === true) hasWork = true;
    return hasWork;
  }

  /**
   * Waits for something to happen and serves the sockets; kicks are taken note of.
   * @param extraFd is watched, too, unless it is -1
   * @returns whether `extraFd` is readable
   */
  #poll(extraFd: number, timeoutMs: number): boolean {
    const polled = this.#polled;
    polled.clear();
    if (extraFd >= 0) polled.add(extraFd);
    // A descriptor of -1 is never ready.
    polled.add(this.services.metricsFd);
    polled.add(this.#follower?.fd ?? this.services.eventsFd);
    for (const { device, listeningFd } of this.#slots) {
      polled.add(device?.backend.socketFd ?? listeningFd);
      for (let index = 0; device !== undefined && index < device.queueCount; index++) {
        const kickFd =
          device.backend.queues.get(index) === undefined ? -1 : device.backend.queues.kickFd(index);
        polled.add(kickFd);
      }
      polled.add(device?.hostEventsFd ?? -1);
    }
    if (polled.wait(timeoutMs) === 0) return false;

    // In the order in which they were added. Serving a device may change another one's descriptors, not the order.
    let position = extraFd >= 0 ? 1 : 0;
    if (polled.isReady(position++)) this.#answerMetrics();
    const isFollowerReady = polled.isReady(position++);
    for (const slot of this.#slots) {
      const { device } = slot;
      const isReady = polled.isReady(position++);
      if (device === undefined) {
        position++;
        if (isReady) this.#accept(slot);
        continue;
      }
      for (let index = 0; index < device.queueCount; index++) {
        if (polled.isReady(position++)) device.kicked(index);
      }
      if (polled.isReady(position++)) device.takeHostEvents();
      if (isReady && !device.backend.receive()) this.#disconnect(slot);
    }
    if (isFollowerReady) {
      if (this.#follower === undefined) this.#follow();
      else if (!this.#follower.isAlive()) this.#unfollow();
    }
    return extraFd >= 0 && polled.isReady(0);
  }

  #accept(slot: Slot): void {
    const device = this.#createDevice(slot, acceptUnix(slot.listeningFd));
    this.log.info(`${deviceName(slot.options)}: front end connected`);
    if (this.#follower !== undefined) this.#followDevice(device, this.#follower);
  }

  #createDevice(slot: Slot, socketFd: number): FsDevice {
    const { options, memory } = slot;
    const serveWhile: ServeWhile = (fd, isDone, timeoutMs) => this.#serveWhile(fd, isDone, timeoutMs);
    const device = new FsDevice(socketFd, options, memory, this.log, this.longCallsMax, serveWhile);
    slot.device = device;
    this.#connected++;
    return device;
  }

  /**
   * Goes on with the front ends of another worker. To be called once, before {@link run}.
   * @throws VhostUserError, VirtqueueError, SysError
   */
  resume(): void {
    for (const slot of this.#slots) {
      if (slot.repaired === undefined) continue;
      this.#hadFrontEnd = true;
      const device = this.#createDevice(slot, slot.memory.vhost.socketFd);
      if (!device.resume(slot.repaired)) this.#disconnect(slot);
    }
  }

  #disconnect(slot: Slot): void {
    this.log.info(`${deviceName(slot.options)}: front end gone`);
    slot.device?.close();
    slot.device = undefined;
    this.#connected--;
  }

  /** Somebody wants the host's events. Without anybody the host is not watched at all. */
  #follow(): void {
    this.#follower = new EventStream(acceptUnix(this.services.eventsFd));
    for (const { device } of this.#slots) {
      if (device !== undefined) this.#followDevice(device, this.#follower);
    }
  }

  #followDevice(device: FsDevice, follower: EventStream): void {
    try {
      device.followHost(follower.queue);
    } catch (error) {
      // The host's limit of inotify instances: programs in the guest that wait are not woken.
      this.log.warn(`host events: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #unfollow(): void {
    for (const { device } of this.#slots) device?.unfollowHost();
    this.#follower?.close();
    this.#follower = undefined;
  }

  /** Serves the sockets of all devices, not their queues, until something is done. */
  #serveWhile(fd: number, isDone: () => boolean, timeoutMs: number): boolean {
    const deadlineMs = performance.now() + timeoutMs;
    while (!isDone()) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) return false;
      this.#poll(fd, Math.ceil(leftMs));
    }
    return true;
  }

  #answerMetrics(): void {
    const socket = new MessageSocket(acceptUnix(this.services.metricsFd));
    const devices = this.#slots.flatMap(({ device }) => device?.report() ?? []);
    try {
      socket.send(Buffer.from(`${JSON.stringify({ devices })}\n`));
    } catch (error) {
      this.log.warn(`metrics: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      socket.close();
    }
  }
}
