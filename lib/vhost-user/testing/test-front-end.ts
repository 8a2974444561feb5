import { createEventfd, signalEventfd } from "../../sys/eventfd.js";
import { close } from "../../sys/file.js";
import { MessageSocket } from "../../sys/unix-socket.js";
import { type Message, MessageReceiver } from "../connection.js";
import { encodeMessage, VhostUserBackendRequest, VhostUserRequest } from "../message.js";
import { TestDriver } from "./test-driver.js";
import { createSocketPair, TestMemory } from "./test-memory.js";

export interface TestFrontEndOptions {
  readonly queueCount: number;
  readonly queueSize: number;
  readonly memoryBytes: number;
  /** Protocol feature bits that are acknowledged of those offered. */
  readonly protocolFeatures?: bigint;
}

/** QEMU 11.1 aborts when a machine has more regions, guest RAM included. */
const REGIONS_MAX = 512;
/** Where QEMU would have guest RAM in its own address space. */
const USER_BASE = 0x7f00_0000_0000;
/** Where the guest has the window, far behind its RAM. */
export const WINDOW_BASE = 0x1_0000_0000;
const VIRTIO_F_VERSION_1 = 1n << 32n;
const EVENT_IDX = 1n << 29n;
const PROTOCOL_FEATURES = 1n << 30n;
/** CONFIGURE_MEM_SLOTS, BACKEND_SEND_FD, BACKEND_REQ, REPLY_ACK, CONFIG, MQ, SHMEM_MAP. */
const PROTOCOL_ALL = (1n << 15n) | (1n << 10n) | (1n << 5n) | (1n << 3n) | (1n << 9n) | 1n | (1n << 22n);

export interface TestMap {
  readonly fdOffset: number;
  readonly lengthBytes: number;
  readonly flags: number;
}

/**
 * A front end for tests: it has RAM and queues, and does with SHMEM_MAP what QEMU 11.1 does, order included (answer first, then
 * announce the region and wait for that).
 */
export class TestFrontEnd {
  readonly memory: TestMemory;
  readonly drivers: readonly TestDriver[];
  readonly maps = new Map<number, TestMap>();
  /** Answers SHMEM_MAP with a failure. */
  refusesMaps = false;
  /** What would have ended QEMU 11.1: a map while no queue runs, more regions than it can have. */
  readonly violations: string[] = [];

  readonly #socket: MessageSocket;
  readonly #receiver: MessageReceiver;
  readonly #kicks: readonly number[];
  readonly #calls: readonly number[];
  readonly #running = new Set<number>();
  #isClosed = false;
  #channel: MessageSocket | undefined;
  #channelReceiver: MessageReceiver | undefined;

  /**
   * @param socketFd the connection to the back end, taken over
   * @param letBackEndWork is called while the front end waits for an answer
   */
  constructor(
    socketFd: number,
    private readonly letBackEndWork: () => void,
    private readonly options: TestFrontEndOptions,
  ) {
    this.#socket = new MessageSocket(socketFd);
    this.#receiver = new MessageReceiver(this.#socket);
    this.memory = new TestMemory(options.memoryBytes);
    this.drivers = Array.from(
      { length: options.queueCount },
      () => new TestDriver(this.memory, options.queueSize),
    );
    this.#kicks = this.drivers.map(() => createEventfd());
    this.#calls = this.drivers.map(() => createEventfd());
  }

  /** Does all that QEMU does until the guest's driver has the device running. */
  start(): void {
    const protocol = this.ask(VhostUserRequest.GET_PROTOCOL_FEATURES).readBigUInt64LE(0);
    const wanted = this.options.protocolFeatures ?? PROTOCOL_ALL;
    this.tell(VhostUserRequest.SET_PROTOCOL_FEATURES, u64(protocol & wanted));
    this.tell(VhostUserRequest.SET_OWNER);
    if ((protocol & wanted & (1n << 5n)) !== 0n) {
      const [ours, theirs] = createSocketPair();
      this.#channel = new MessageSocket(ours);
      this.#channelReceiver = new MessageReceiver(this.#channel);
      this.tell(VhostUserRequest.SET_BACKEND_REQ_FD, undefined, [theirs]);
      close(theirs);
    }
    this.#setFeatures();
    this.tell(VhostUserRequest.ADD_MEM_REG, region(0, this.memory.byteLength, USER_BASE, 0), [
      this.memory.fd,
    ]);
    for (const index of this.drivers.keys()) this.startQueue(index);
  }

  startQueue(index: number, base = 0): void {
    const driver = this.driver(index);
    this.tell(VhostUserRequest.SET_VRING_NUM, u32(index, driver.size));
    this.tell(VhostUserRequest.SET_VRING_BASE, u32(index, base));
    const { descriptorTable, usedRing, availRing } = driver;
    const addresses = [descriptorTable, usedRing, availRing].map((offset) => BigInt(USER_BASE + offset));
    this.tell(VhostUserRequest.SET_VRING_ADDR, Buffer.concat([u32(index, 0), u64(...addresses, 0n)]));
    this.tell(VhostUserRequest.SET_VRING_KICK, u64(BigInt(index)), [this.#kicks[index] ?? -1]);
    this.tell(VhostUserRequest.SET_VRING_CALL, u64(BigInt(index)), [this.#calls[index] ?? -1]);
    this.tell(VhostUserRequest.SET_VRING_ENABLE, u32(index, 1));
    this.#running.add(index);
  }

  /** @returns how far the back end had come */
  stopQueue(index: number): number {
    const base = this.ask(VhostUserRequest.GET_VRING_BASE, u32(index, 0)).readUInt32LE(4);
    this.#running.delete(index);
    if (this.#running.size === 0) this.#refuseLate();
    return base;
  }

  /** Stops all queues and resets the device, upon which QEMU drops the window's maps. The queues are started anew by {@link startQueue}. */
  reset(): void {
    for (const index of this.#running) this.stopQueue(index);
    this.tellAndWait(VhostUserRequest.RESET_DEVICE, Buffer.alloc(0));
    for (const [offset, { lengthBytes, fdOffset }] of this.maps) {
      this.tell(VhostUserRequest.REM_MEM_REG, windowRegion(offset, lengthBytes, fdOffset));
    }
    this.maps.clear();
    this.#setFeatures();
    for (const driver of this.drivers) driver.reset();
  }

  driver(index: number): TestDriver {
    const driver = this.drivers[index];
    if (driver === undefined) throw new RangeError(`queue ${index}`);
    return driver;
  }

  kick(index: number): void {
    signalEventfd(this.#kicks[index] ?? -1);
  }

  /** The descriptor that the back end signals when it has completed something. */
  callFd(index: number): number {
    return this.#calls[index] ?? -1;
  }

  /** Sends a message that has a reply. @returns the reply's payload */
  ask(request: number, payload: Uint8Array = Buffer.alloc(0), fds: readonly number[] = []): Buffer {
    this.#socket.send(encodeMessage(request, "request", payload), fds);
    return Buffer.from(this.#wait(request).payload);
  }

  /** The payload of the next reply to a message that was told, if it has come; other messages are passed over. */
  reply(request: number): Buffer | undefined {
    const message = this.#receiver.receive();
    const isIt = typeof message !== "string" && message.header.request === request;
    return isIt ? Buffer.from(message.payload) : undefined;
  }

  /** Sends a message and does not wait for what comes of it. */
  tell(request: number, payload: Uint8Array = Buffer.alloc(0), fds: readonly number[] = []): void {
    this.#socket.send(encodeMessage(request, "request", payload), fds);
    this.letBackEndWork();
  }

  /** Like {@link tell}, waiting for the acknowledgement. @returns whether the back end agreed */
  tellAndWait(request: number, payload: Uint8Array, fds: readonly number[] = []): boolean {
    this.#socket.send(encodeMessage(request, "request-needing-reply", payload), fds);
    return Buffer.from(this.#wait(request).payload).readBigUInt64LE(0) === 0n;
  }

  /** Answers what the back end asks for, without waiting. */
  serve(): void {
    const message = this.#channelReceiver?.receive() ?? "empty";
    if (typeof message === "string") return;
    const { request } = message.header;
    const payload = Buffer.from(message.payload);
    const [fdOffset, shmOffset, lengthBytes, flags] = [8, 16, 24, 32].map((at) =>
      Number(payload.readBigUInt64LE(at)),
    );
    if (fdOffset === undefined || shmOffset === undefined || lengthBytes === undefined || flags === undefined)
      return;
    const isMap = request === VhostUserBackendRequest.SHMEM_MAP;
    if (this.#running.size === 0) this.violations.push(`request ${request} while no queue runs`);
    if (isMap && this.maps.size + 1 >= REGIONS_MAX)
      this.violations.push(`${this.maps.size} maps, and one more`);
    const isRight = isMap
      ? !this.refusesMaps && !this.#overlaps(shmOffset, lengthBytes) && message.fds.length === 1
      : this.maps.get(shmOffset)?.lengthBytes === lengthBytes;
    this.#channel?.send(encodeMessage(request, "reply", u64(isRight ? 0n : 1n)));
    const announcement = windowRegion(shmOffset, lengthBytes, fdOffset);
    if (isRight && isMap) {
      this.maps.set(shmOffset, { fdOffset, lengthBytes, flags });
      this.#socket.send(encodeMessage(VhostUserRequest.ADD_MEM_REG, "request", announcement), message.fds);
    } else if (isRight) {
      this.maps.delete(shmOffset);
      this.#socket.send(encodeMessage(VhostUserRequest.REM_MEM_REG, "request", announcement));
    }
    for (const fd of message.fds) close(fd);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
    this.#channel?.close();
    for (const fd of [...this.#kicks, ...this.#calls, this.memory.fd]) close(fd);
  }

  #setFeatures(): void {
    const features = this.ask(VhostUserRequest.GET_FEATURES).readBigUInt64LE(0);
    const wanted = VIRTIO_F_VERSION_1 | EVENT_IDX | PROTOCOL_FEATURES;
    this.tell(VhostUserRequest.SET_FEATURES, u64(features & wanted));
  }

  #overlaps(shmOffset: number, lengthBytes: number): boolean {
    for (const [offset, map] of this.maps) {
      if (offset < shmOffset + lengthBytes && shmOffset < offset + map.lengthBytes) return true;
    }
    return lengthBytes === 0;
  }

  /** What the back end had asked for before it knew that the device is stopped. */
  #refuseLate(): void {
    for (;;) {
      const message = this.#channelReceiver?.receive() ?? "empty";
      if (typeof message === "string") return;
      for (const fd of message.fds) close(fd);
      this.#channel?.send(encodeMessage(message.header.request, "reply", u64(1n)));
    }
  }

  #wait(request: number): Message {
    for (let turn = 0; turn < 10_000; turn++) {
      this.letBackEndWork();
      const message = this.#receiver.receive();
      if (message === "end") throw new Error("the back end has gone");
      if (message !== "empty" && message.header.request === request) return message;
    }
    throw new Error(`no answer to message ${request}`);
  }
}

function u32(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

function u64(...values: bigint[]): Buffer {
  return Buffer.from(BigUint64Array.from(values).buffer);
}

/** Where the guest and the front end have that part of the window. */
function windowRegion(shmOffset: number, lengthBytes: number, fdOffset: number): Buffer {
  return region(WINDOW_BASE + shmOffset, lengthBytes, USER_BASE + WINDOW_BASE + shmOffset, fdOffset);
}

function region(guestAddress: number, sizeBytes: number, userAddress: number, mmapOffset: number): Buffer {
  return u64(0n, BigInt(guestAddress), BigInt(sizeBytes), BigInt(userAddress), BigInt(mmapOffset));
}
