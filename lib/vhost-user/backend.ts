import { close } from "../sys/file.js";
import { MessageSocket } from "../sys/unix-socket.js";
import { MemoryRegionError } from "../virtio/guest-memory.js";
import { VirtqueueError } from "../virtio/virtqueue-error.js";
import { BackendQueues } from "./backend-queues.js";
import { type Message, MessageReceiver } from "./connection.js";
import type { VhostUserDeviceModel, VhostUserEvents } from "./device-model.js";
import { DeviceState } from "./device-state.js";
import { bit, offeredFeatures, offeredProtocolFeatures } from "./features.js";
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
  VhostUserError,
  VhostUserProtocolFeature,
  VhostUserRequest,
  vringStatePayload,
} from "./message.js";

/** Regions of memory that the front end may announce: RAM and each map of each DAX window. */
const MEM_SLOTS_MAX = 509;

const NO_BYTES = new Uint8Array(0);

/**
 * The state machine of a vhost-user back end on one connection. It never waits: {@link receive} is called when the socket is
 * readable, and the device takes requests from {@link queues} when it likes.
 */
export class VhostUserBackend {
  readonly queues: BackendQueues;
  readonly #socket: MessageSocket;
  readonly #receiver: MessageReceiver;
  #memoryRegionsAdded = 0;
  /** Whether the message being served may have been served by another worker, which did not answer. */
  #isAgain = false;

  /**
   * @param socketFd the connection; it belongs to the back end from now on
   * @param state of a new connection, or of one that another worker served: then {@link resume} is called before anything else
   */
  constructor(
    socketFd: number,
    private readonly model: VhostUserDeviceModel,
    private readonly events: VhostUserEvents,
    readonly state = new DeviceState(model.queueCount),
  ) {
    state.socketFd = socketFd;
    this.queues = new BackendQueues(this.state, events);
    this.#socket = new MessageSocket(socketFd);
    this.#receiver = new MessageReceiver(this.#socket, state.received);
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

  /** Goes on where another worker stopped. @throws VirtqueueError */
  resume(): void {
    this.#isAgain = true;
    if (this.state.backendFd >= 0) this.events.backendSocket(this.state.backendFd);
    this.queues.resume();
  }

  /**
   * Serves all messages that are there.
   * @returns false when the front end has gone
   * @throws VhostUserError, SysError: the connection is of no further use
   */
  receive(): boolean {
    for (;;) {
      const message = this.#receiver.receive();
      if (message === "empty") {
        this.#isAgain = false;
        return true;
      }
      if (message === "end") return false;
      try {
        this.#serve(message);
      } finally {
        this.#isAgain = false;
        for (const fd of message.fds.splice(0)) close(fd);
        this.#receiver.done();
      }
    }
  }

  /** Releases everything that the front end gave. */
  close(): void {
    this.queues.close();
    this.state.memory.clear(() => {});
    this.#replaceBackendFd(-1);
    this.#receiver.close();
    this.state.socketFd = -1;
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
        return u64Payload(offeredFeatures(this.model));
      case VhostUserRequest.SET_FEATURES:
        state.features = new Payload(request, payload, 8).u64(0) & offeredFeatures(this.model);
        return undefined;
      case VhostUserRequest.SET_OWNER:
        return undefined;
      case VhostUserRequest.RESET_OWNER:
      case VhostUserRequest.RESET_DEVICE:
        this.queues.reset();
        state.features = 0n;
        return undefined;
      case VhostUserRequest.GET_PROTOCOL_FEATURES:
        return u64Payload(offeredProtocolFeatures(this.model));
      case VhostUserRequest.SET_PROTOCOL_FEATURES:
        state.protocolFeatures =
          new Payload(request, payload, 8).u64(0) & offeredProtocolFeatures(this.model);
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
        const wasRemoved = state.memory.remove(guestAddress, sizeBytes, userAddress, (chunk) =>
          this.queues.dropIn(chunk),
        );
        if (!wasRemoved && !this.#isAgain) {
          throw new VhostUserError(`no memory region at 0x${guestAddress.toString(16)} to remove`);
        }
        return undefined;
      }
      case VhostUserRequest.SET_VRING_NUM: {
        const fields = new Payload(request, payload, 8);
        this.queues.stoppedVring(fields.u32(0)).size = fields.u32(4);
        return undefined;
      }
      case VhostUserRequest.SET_VRING_BASE: {
        const fields = new Payload(request, payload, 8);
        this.queues.setBase(fields.u32(0), fields.u32(4) & 0xffff);
        return undefined;
      }
      case VhostUserRequest.SET_VRING_ADDR: {
        const { index, ...addresses } = decodeVringAddress(payload);
        Object.assign(this.queues.vring(index), addresses);
        this.queues.restart(index);
        return undefined;
      }
      case VhostUserRequest.GET_VRING_BASE: {
        const index = new Payload(request, payload, 8).u32(0);
        const vring = this.queues.vring(index);
        this.queues.stop(index);
        return vringStatePayload(index, vring.lastAvail);
      }
      case VhostUserRequest.SET_VRING_KICK:
        this.queues.start(this.#setVringFd(request, payload, fds, "kickFd"));
        return undefined;
      case VhostUserRequest.SET_VRING_CALL:
        this.#setVringFd(request, payload, fds, "callFd");
        return undefined;
      case VhostUserRequest.SET_VRING_ERR:
        this.#setVringFd(request, payload, fds, "errFd");
        return undefined;
      case VhostUserRequest.SET_VRING_ENABLE: {
        const fields = new Payload(request, payload, 8);
        this.queues.setEnabled(fields.u32(0), fields.u32(4) !== 0);
        return undefined;
      }
      case VhostUserRequest.SET_BACKEND_REQ_FD:
        this.#replaceBackendFd(takeFd(request, fds));
        state.owed = 0;
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

  #hasProtocolFeature(number: number): boolean {
    return (this.state.protocolFeatures & bit(number)) !== 0n;
  }

  #setMemoryTable(payload: Uint8Array, fds: number[]): void {
    const regions = decodeMemoryTable(payload);
    if (regions.length !== fds.length) {
      throw new VhostUserError(`a memory table of ${regions.length} regions with ${fds.length} descriptors`);
    }
    this.state.memory.clear((chunk) => this.queues.dropIn(chunk));
    for (const region of regions)
      this.state.memory.add({ ...region, fd: takeFd(VhostUserRequest.SET_MEM_TABLE, fds) });
    // Queues that ran go on in the new regions, which may be the old ones mapped anew.
    this.queues.restartAll();
  }

  #addMemoryRegion(payload: Uint8Array, fds: number[]): void {
    const region = decodeMemoryRegion(VhostUserRequest.ADD_MEM_REG, payload);
    this.#memoryRegionsAdded++;
    if (this.state.memory.regionCount >= MEM_SLOTS_MAX) {
      throw new VhostUserError(`more than ${MEM_SLOTS_MAX} memory regions`);
    }
    this.state.memory.add({ ...region, fd: takeFd(VhostUserRequest.ADD_MEM_REG, fds) });
  }

  /** @returns the queue that the message is about */
  #setVringFd(
    request: number,
    payload: Uint8Array,
    fds: number[],
    name: "kickFd" | "callFd" | "errFd",
  ): number {
    const { index, hasFd } = decodeVringFd(request, payload);
    this.queues.vring(index);
    if (name === "kickFd" && !hasFd) {
      throw new VhostUserError(`queue ${index} without a kick descriptor: polling is not supported`);
    }
    this.queues.setFd(index, name, hasFd ? takeFd(request, fds) : -1);
    return index;
  }

  #replaceBackendFd(fd: number): void {
    const { backendFd } = this.state;
    if (backendFd >= 0 && backendFd !== fd) close(backendFd);
    this.state.backendFd = fd;
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
