import { signalEventfd } from "../sys/eventfd.js";
import { close } from "../sys/file.js";
import { MessageSocket } from "../sys/unix-socket.js";
import { type MemoryChunk, MemoryRegionError } from "../virtio/guest-memory.js";
import { SplitVirtqueue, VirtqueueError } from "../virtio/split-virtqueue.js";
import { type Message, MessageReceiver } from "./connection.js";
import { createDeviceState, type DeviceState, type DeviceVring } from "./device-state.js";
import {
  decodeConfigRange,
  decodeMemoryRegion,
  decodeMemoryTable,
  decodeVringAddress,
  decodeVringFd,
  encodeMessage,
  Payload,
  shmemConfigPayload,
  u64Payload,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VhostUserError,
  VhostUserProtocolFeature,
  VhostUserRequest,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
  vringStatePayload,
} from "./message.js";

/** What a back end is: the part that does not depend on the front end. */
export interface VhostUserDeviceModel {
  readonly queueCount: number;
  /** Feature bits of the device type; those of rings and transport are added. */
  readonly features: bigint;
  /** The device's configuration space; where it is empty, the front end has one of its own. */
  readonly config: Uint8Array;
  /** Sizes of shared-memory regions by shmid; none if the device has none. */
  readonly shmemSizesBytes: readonly number[];
  /**
   * Whether messages are answered when the front end asks for it. A device that only takes note of memory regions does better
   * without: QEMU then does not wait for it at each DAX map.
   */
  readonly acknowledges: boolean;
}

/** What the back end reports to the device. */
export interface VhostUserEvents {
  /** A queue started, or its kick descriptor changed. */
  queueStarted(index: number): void;
  /** A queue that ran was stopped. With the last one the driver has reset the device, and the front end dropped all maps. */
  queueStopped(index: number): void;
  /** The front end took the socket for requests of the back end to be `fd`, which stays the back end's. */
  backendSocket(fd: number): void;
  /** A queue is of no use any more: the guest broke the rules. */
  queueBroken(index: number, error: VirtqueueError): void;
}

/** Regions of memory that the front end may announce: RAM and each map of each DAX window. */
const MEM_SLOTS_MAX = 509;

const NO_BYTES = new Uint8Array(0);

const bit = (number: number) => 1n << BigInt(number);

/**
 * The state machine of a vhost-user back end on one connection. It never waits: {@link receive} is called when the socket is
 * readable, and the device takes requests from {@link queue} when it likes.
 */
export class VhostUserBackend {
  readonly state: DeviceState;
  readonly #socket: MessageSocket;
  readonly #receiver: MessageReceiver;
  readonly #queues: (SplitVirtqueue | undefined)[];
  #memoryRegionsAdded = 0;

  /** @param socketFd the connection; it belongs to the back end from now on */
  constructor(
    socketFd: number,
    private readonly model: VhostUserDeviceModel,
    private readonly events: VhostUserEvents,
  ) {
    this.state = createDeviceState(model.queueCount);
    this.#queues = new Array(model.queueCount).fill(undefined);
    this.#socket = new MessageSocket(socketFd);
    this.#receiver = new MessageReceiver(this.#socket);
  }

  get socketFd(): number {
    return this.#socket.fd;
  }

  /** Counts the regions that were announced since the connection began. */
  get memoryRegionsAdded(): number {
    return this.#memoryRegionsAdded;
  }

  /** Whether the front end announces regions one by one. */
  get hasMemorySlots(): boolean {
    return this.#hasProtocolFeature(VhostUserProtocolFeature.CONFIGURE_MEM_SLOTS);
  }

  /** A queue that runs; undefined for one that is stopped, disabled or broken. */
  queue(index: number): SplitVirtqueue | undefined {
    return this.state.vrings[index]?.isEnabled === true ? this.#queues[index] : undefined;
  }

  /** The descriptor that the front end signals when the driver made requests available, or -1. */
  kickFd(index: number): number {
    return this.state.vrings[index]?.kickFd ?? -1;
  }

  /** Whether any queue runs. */
  get isRunning(): boolean {
    return this.#queues.some((_, index) => this.queue(index) !== undefined);
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
  breakQueue(index: number, error: VirtqueueError): void {
    this.#detach(index);
    const errFd = this.state.vrings[index]?.errFd ?? -1;
    if (errFd >= 0) signalEventfd(errFd);
    this.events.queueBroken(index, error);
  }

  /**
   * Serves all messages that are there.
   * @returns false when the front end has gone
   * @throws VhostUserError, SysError: the connection is of no further use
   */
  receive(): boolean {
    for (;;) {
      const message = this.#receiver.receive();
      if (message === "empty") return true;
      if (message === "end") return false;
      try {
        this.#serve(message);
      } finally {
        for (const fd of message.fds.splice(0)) close(fd);
      }
    }
  }

  /** Releases everything that the front end gave. */
  close(): void {
    for (const index of this.state.vrings.keys()) this.#stop(index);
    for (const vring of this.state.vrings) {
      replaceFd(vring, "callFd", -1);
      replaceFd(vring, "errFd", -1);
    }
    this.state.memory.clear(() => {});
    this.#replaceBackendFd(-1);
    this.#receiver.close();
    this.#socket.close();
  }

  #serve(message: Message): void {
    const { request, needReply } = message.header;
    let reply: Uint8Array | undefined;
    let failure: VhostUserError | undefined;
    try {
      reply = this.#answer(message);
    } catch (error) {
      const cause = error instanceof VirtqueueError || error instanceof MemoryRegionError;
      failure = cause ? new VhostUserError(error.message, { cause: error }) : asVhostUserError(error);
    }
    // The reply itself tells of the failure by having no payload.
    if (failure !== undefined && request === VhostUserRequest.GET_CONFIG) reply = NO_BYTES;
    if (reply !== undefined) this.#send(request, reply);
    else if (needReply && this.#hasProtocolFeature(VhostUserProtocolFeature.REPLY_ACK)) {
      this.#send(request, u64Payload(failure === undefined ? 0 : 1));
    } else if (failure !== undefined) throw failure;
  }

  #send(request: number, payload: Uint8Array): void {
    this.#socket.send(encodeMessage(request, "reply", payload));
  }

  /** @returns the reply of a request that has one of its own */
  #answer({ header: { request }, payload, fds }: Message): Uint8Array | undefined {
    const { state } = this;
    switch (request) {
      case VhostUserRequest.GET_FEATURES:
        return u64Payload(this.#features);
      case VhostUserRequest.SET_FEATURES:
        state.features = new Payload(request, payload, 8).u64(0) & this.#features;
        return undefined;
      case VhostUserRequest.SET_OWNER:
        return undefined;
      case VhostUserRequest.RESET_OWNER:
      case VhostUserRequest.RESET_DEVICE:
        for (const [index, vring] of state.vrings.entries()) {
          vring.isEnabled = false;
          this.#stop(index);
        }
        state.features = 0n;
        return undefined;
      case VhostUserRequest.GET_PROTOCOL_FEATURES:
        return u64Payload(this.#protocolFeatures);
      case VhostUserRequest.SET_PROTOCOL_FEATURES:
        state.protocolFeatures = new Payload(request, payload, 8).u64(0) & this.#protocolFeatures;
        return undefined;
      case VhostUserRequest.GET_QUEUE_NUM:
        return u64Payload(this.model.queueCount);
      case VhostUserRequest.GET_MAX_MEM_SLOTS:
        return u64Payload(MEM_SLOTS_MAX);
      case VhostUserRequest.SET_MEM_TABLE:
        this.#setMemoryTable(payload, fds);
        return undefined;
      case VhostUserRequest.ADD_MEM_REG:
        this.#addMemoryRegion(payload, fds);
        return undefined;
      case VhostUserRequest.REM_MEM_REG: {
        const { guestAddress, sizeBytes, userAddress } = decodeMemoryRegion(request, payload);
        if (
          !state.memory.remove(guestAddress, sizeBytes, userAddress, (chunk) => this.#dropQueuesIn(chunk))
        ) {
          throw new VhostUserError(`no memory region at 0x${guestAddress.toString(16)} to remove`);
        }
        return undefined;
      }
      case VhostUserRequest.SET_VRING_NUM:
        this.#stoppedVring(request, payload).size = new Payload(request, payload, 8).u32(4);
        return undefined;
      case VhostUserRequest.SET_VRING_BASE:
        this.#stoppedVring(request, payload).lastAvail = new Payload(request, payload, 8).u32(4) & 0xffff;
        return undefined;
      case VhostUserRequest.SET_VRING_ADDR: {
        const { index, ...addresses } = decodeVringAddress(payload);
        Object.assign(this.#vring(index), addresses);
        if (this.#queues[index] !== undefined) this.#start(index);
        return undefined;
      }
      case VhostUserRequest.GET_VRING_BASE: {
        const index = new Payload(request, payload, 8).u32(0);
        const vring = this.#vring(index);
        this.#stop(index);
        return vringStatePayload(index, vring.lastAvail);
      }
      case VhostUserRequest.SET_VRING_KICK: {
        const { index } = this.#replaceVringFd(request, payload, fds, "kickFd");
        this.#start(index);
        return undefined;
      }
      case VhostUserRequest.SET_VRING_CALL:
        this.#replaceVringFd(request, payload, fds, "callFd");
        return undefined;
      case VhostUserRequest.SET_VRING_ERR:
        this.#replaceVringFd(request, payload, fds, "errFd");
        return undefined;
      case VhostUserRequest.SET_VRING_ENABLE:
        this.#enable(payload);
        return undefined;
      case VhostUserRequest.SET_BACKEND_REQ_FD:
        this.#replaceBackendFd(takeFd(request, fds));
        this.events.backendSocket(state.backendFd);
        return undefined;
      case VhostUserRequest.GET_CONFIG:
        return this.#config(payload);
      case VhostUserRequest.SET_CONFIG:
        // The guest's driver causes this one. No field is one that a driver may write, so nothing comes of it.
        return undefined;
      case VhostUserRequest.GET_SHMEM_CONFIG:
        return shmemConfigPayload(this.model.shmemSizesBytes);
      default:
        throw new VhostUserError(`message ${request} is not supported`);
    }
  }

  get #features(): bigint {
    return (
      this.model.features |
      bit(VIRTIO_F_VERSION_1) |
      bit(VIRTIO_RING_F_INDIRECT_DESC) |
      bit(VIRTIO_RING_F_EVENT_IDX) |
      bit(VHOST_USER_F_PROTOCOL_FEATURES)
    );
  }

  get #protocolFeatures(): bigint {
    const feature = VhostUserProtocolFeature;
    const always = [feature.MQ, feature.RESET_DEVICE, feature.CONFIGURE_MEM_SLOTS];
    const configuring = this.model.config.length > 0 ? [feature.CONFIG] : [];
    const acknowledging = this.model.acknowledges ? [feature.REPLY_ACK] : [];
    const sharing =
      this.model.shmemSizesBytes.length > 0
        ? [feature.BACKEND_REQ, feature.BACKEND_SEND_FD, feature.SHMEM_MAP]
        : [];
    const offered = [...always, ...configuring, ...acknowledging, ...sharing];
    return offered.reduce((bits, number) => bits | bit(number), 0n);
  }

  #hasProtocolFeature(number: number): boolean {
    return (this.state.protocolFeatures & bit(number)) !== 0n;
  }

  #setMemoryTable(payload: Uint8Array, fds: number[]): void {
    const regions = decodeMemoryTable(payload);
    if (regions.length !== fds.length) {
      throw new VhostUserError(`a memory table of ${regions.length} regions with ${fds.length} descriptors`);
    }
    this.state.memory.clear((chunk) => this.#dropQueuesIn(chunk));
    for (const region of regions)
      this.state.memory.add({ ...region, fd: takeFd(VhostUserRequest.SET_MEM_TABLE, fds) });
    // Queues that ran go on in the new regions, which may be the old ones mapped anew.
    for (const [index, vring] of this.state.vrings.entries()) if (vring.kickFd >= 0) this.#start(index);
  }

  #addMemoryRegion(payload: Uint8Array, fds: number[]): void {
    const region = decodeMemoryRegion(VhostUserRequest.ADD_MEM_REG, payload);
    this.#memoryRegionsAdded++;
    if (this.state.memory.regionCount >= MEM_SLOTS_MAX) {
      throw new VhostUserError(`more than ${MEM_SLOTS_MAX} memory regions`);
    }
    this.state.memory.add({ ...region, fd: takeFd(VhostUserRequest.ADD_MEM_REG, fds) });
  }

  #dropQueuesIn(chunk: MemoryChunk): void {
    for (const [index, queue] of this.#queues.entries()) {
      if (queue?.uses(chunk)) this.#detach(index);
    }
  }

  #vring(index: number): DeviceVring {
    const vring = this.state.vrings[index];
    if (vring === undefined) throw new VhostUserError(`queue ${index} of ${this.state.vrings.length}`);
    return vring;
  }

  #stoppedVring(request: number, payload: Uint8Array): DeviceVring {
    const index = new Payload(request, payload, 8).u32(0);
    const vring = this.#vring(index);
    if (this.#queues[index] !== undefined)
      throw new VhostUserError(`message ${request} for queue ${index}, which runs`);
    return vring;
  }

  #replaceVringFd(request: number, payload: Uint8Array, fds: number[], name: "kickFd" | "callFd" | "errFd") {
    const { index, hasFd } = decodeVringFd(request, payload);
    const vring = this.#vring(index);
    if (name === "kickFd" && !hasFd) {
      throw new VhostUserError(`queue ${index} without a kick descriptor: polling is not supported`);
    }
    replaceFd(vring, name, hasFd ? takeFd(request, fds) : -1);
    return { index };
  }

  /** A queue starts when its kick descriptor arrives, and runs once it is enabled, too. */
  #start(index: number): void {
    const vring = this.#vring(index);
    // Without protocol features there is no SET_VRING_ENABLE.
    if ((this.state.features & bit(VHOST_USER_F_PROTOCOL_FEATURES)) === 0n) vring.isEnabled = true;
    this.#detach(index);
    const hasEventIdx = (this.state.features & bit(VIRTIO_RING_F_EVENT_IDX)) !== 0n;
    this.#queues[index] = new SplitVirtqueue(this.state.memory, vring, hasEventIdx);
    this.events.queueStarted(index);
  }

  /** Stops a queue; whether it is enabled is another matter ("Ring states"). */
  #stop(index: number): void {
    const ran = this.#queues[index] !== undefined;
    this.#detach(index);
    replaceFd(this.#vring(index), "kickFd", -1);
    if (ran) this.events.queueStopped(index);
  }

  #detach(index: number): void {
    this.#queues[index]?.putBackUnfinished();
    this.#queues[index] = undefined;
  }

  #replaceBackendFd(fd: number): void {
    if (this.state.backendFd >= 0) close(this.state.backendFd);
    this.state.backendFd = fd;
  }

  #enable(payload: Uint8Array): void {
    const fields = new Payload(VhostUserRequest.SET_VRING_ENABLE, payload, 8);
    const index = fields.u32(0);
    this.#vring(index).isEnabled = fields.u32(4) !== 0;
    if (this.queue(index) !== undefined) this.events.queueStarted(index);
  }

  #config(payload: Uint8Array): Uint8Array {
    const { offset, sizeBytes } = decodeConfigRange(VhostUserRequest.GET_CONFIG, payload);
    if (12 + sizeBytes > payload.length || offset + sizeBytes > this.model.config.length) {
      throw new VhostUserError(
        `${sizeBytes} bytes at ${offset} of a configuration of ${this.model.config.length} bytes`,
      );
    }
    const reply = Buffer.alloc(12 + sizeBytes);
    reply.set(payload.subarray(0, 12));
    reply.set(this.model.config.subarray(offset, offset + sizeBytes), 12);
    return reply;
  }
}

function replaceFd(vring: DeviceVring, name: "kickFd" | "callFd" | "errFd", fd: number): void {
  if (vring[name] >= 0) close(vring[name]);
  vring[name] = fd;
}

/** Takes a descriptor over from the message, which closes those that are left. */
function takeFd(request: number, fds: number[]): number {
  const fd = fds.shift();
  if (fd === undefined) throw new VhostUserError(`message ${request} came without its descriptor`);
  return fd;
}

function asVhostUserError(error: unknown): VhostUserError {
  if (error instanceof VhostUserError) return error;
  throw error;
}
