import { signalEventfd } from "../sys/eventfd.js";
import { close } from "../sys/file.js";
import type { MemoryChunk } from "../virtio/guest-memory.js";
import { SplitVirtqueue } from "../virtio/split-virtqueue.js";
import type { VirtqueueError } from "../virtio/virtqueue-error.js";
import type { VhostUserEvents } from "./device-model.js";
import type { DeviceState, DeviceVring } from "./device-state.js";
import { bit } from "./features.js";
import { VHOST_USER_F_PROTOCOL_FEATURES, VhostUserError, VIRTIO_RING_F_EVENT_IDX } from "./message.js";

type VringFd = "kickFd" | "callFd" | "errFd";

/** The queues of a back end: what runs, by what the front end has said of each ("Ring states"). */
export class BackendQueues {
  readonly #queues: (SplitVirtqueue | undefined)[];

  constructor(
    private readonly state: DeviceState,
    private readonly events: VhostUserEvents,
  ) {
    this.#queues = state.vrings.map(() => undefined);
  }

  /** A queue that runs; undefined for one that is stopped, disabled or broken. */
  get(index: number): SplitVirtqueue | undefined {
    return this.state.vrings[index]?.isEnabled === true ? this.#queues[index] : undefined;
  }

  /** The descriptor that the front end signals when the driver made requests available, or -1. */
  kickFd(index: number): number {
    return this.state.vrings[index]?.kickFd ?? -1;
  }

  /** Whether any queue runs. */
  get areRunning(): boolean {
    return this.#queues.some((_, index) => this.get(index) !== undefined);
  }

  /** Shows the driver what was completed, with an interrupt if it wants one. */
  publish(index: number): void {
    const callFd = this.state.vrings[index]?.callFd ?? -1;
    if (this.#queues[index]?.publish() === true && callFd >= 0) signalEventfd(callFd);
  }

  /**
   * Gives a request back to the driver at once, with an interrupt if it wants one.
   * @param queue the one from which it was taken. Not any more the device's if the front end stopped it or set it up anew meanwhile: the
   * request is then taken again by whoever goes on with the queue.
   * @returns false in that case
   */
  complete(index: number, queue: SplitVirtqueue, head: number, written: number): boolean {
    if (this.#queues[index] !== queue) return false;
    queue.complete(head, written);
    this.publish(index);
    return true;
  }

  /** The guest broke the rules of a queue: it stays stopped until the front end sets it up anew. */
  break(index: number, error: VirtqueueError): void {
    this.#detach(index);
    const errFd = this.state.vrings[index]?.errFd ?? -1;
    if (errFd >= 0) signalEventfd(errFd);
    this.events.queueBroken(index, error);
  }

  /** A queue as the front end set it up, to be changed by it. @throws VhostUserError if there is none */
  vring(index: number): DeviceVring {
    const vring = this.state.vrings[index];
    if (vring === undefined) throw new VhostUserError(`queue ${index} of ${this.state.vrings.length}`);
    return vring;
  }

  /** {@link vring}, of a queue that does not run. @throws VhostUserError if it does */
  stoppedVring(index: number): DeviceVring {
    const vring = this.vring(index);
    if (this.#queues[index] !== undefined)
      throw new VhostUserError(`queue ${index} is changed while it runs`);
    return vring;
  }

  /** Where the device begins to take requests. @throws VhostUserError for a queue that runs */
  setBase(index: number, lastAvail: number): void {
    const vring = this.stoppedVring(index);
    const goesOn = lastAvail === vring.lastAvail;
    vring.lastAvail = lastAvail;
    if (!goesOn && vring.wasUsed) this.#wasReset();
  }

  /** Takes over `fd`, or takes away the one that there is, with -1. */
  setFd(index: number, name: VringFd, fd: number): void {
    const vring = this.vring(index);
    if (vring[name] >= 0 && vring[name] !== fd) close(vring[name]);
    vring[name] = fd;
  }

  setEnabled(index: number, isEnabled: boolean): void {
    this.vring(index).isEnabled = isEnabled;
    if (this.get(index) !== undefined) this.events.queueStarted(index);
  }

  /** A queue starts when its kick descriptor arrives, and runs once it is enabled, too. @throws VirtqueueError */
  start(index: number): void {
    const vring = this.vring(index);
    // Without protocol features there is no SET_VRING_ENABLE.
    if ((this.state.features & bit(VHOST_USER_F_PROTOCOL_FEATURES)) === 0n) vring.isEnabled = true;
    this.#detach(index);
    this.#attach(index, vring);
    this.events.queueStarted(index);
  }

  /**
   * Goes on with the queues that another worker served. A signal that it had not taken, or had not sent, is made up for.
   * @throws VirtqueueError
   */
  resume(): void {
    for (const [index, vring] of this.state.vrings.entries()) {
      if (!vring.isStarted) continue;
      this.#attach(index, vring);
      if (vring.callFd >= 0) signalEventfd(vring.callFd);
      this.events.queueStarted(index);
    }
  }

  /** Starts a queue anew that has not been stopped: its rings are elsewhere. */
  restart(index: number): void {
    if (this.#queues[index] !== undefined) this.start(index);
  }

  /** Starts anew what has not been stopped, where the memory is another one. */
  restartAll(): void {
    for (const [index, vring] of this.state.vrings.entries()) if (vring.kickFd >= 0) this.start(index);
  }

  /** Stops a queue; whether it is enabled is another matter. */
  stop(index: number): void {
    const ran = this.#queues[index] !== undefined;
    this.#detach(index);
    this.setFd(index, "kickFd", -1);
    if (ran) this.events.queueStopped(index);
  }

  /** Stops and disables all queues: the device is as new. */
  reset(): void {
    for (const [index, vring] of this.state.vrings.entries()) {
      vring.isEnabled = false;
      this.stop(index);
      vring.lastAvail = 0;
    }
    this.#wasReset();
  }

  /** Queues whose rings lie in memory that goes away are of no use. */
  dropIn(chunk: MemoryChunk): void {
    for (const [index, queue] of this.#queues.entries()) if (queue?.uses(chunk)) this.#detach(index);
  }

  close(): void {
    for (const index of this.state.vrings.keys()) {
      this.stop(index);
      this.setFd(index, "callFd", -1);
      this.setFd(index, "errFd", -1);
    }
  }

  #detach(index: number): void {
    this.#queues[index]?.putBackUnfinished();
    this.#queues[index] = undefined;
    this.vring(index).isStarted = false;
  }

  #attach(index: number, vring: DeviceVring): void {
    const hasEventIdx = (this.state.features & bit(VIRTIO_RING_F_EVENT_IDX)) !== 0n;
    this.#queues[index] = new SplitVirtqueue(this.state.memory, vring, hasEventIdx);
    vring.isStarted = true;
    vring.wasUsed = true;
  }

  #wasReset(): void {
    for (const vring of this.state.vrings) {
      vring.wasUsed = false;
      vring.inFlight.clear(vring.size);
    }
    this.events.deviceReset();
  }
}
