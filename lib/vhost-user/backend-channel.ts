import { close } from "../sys/file.js";
import { MessageSocket } from "../sys/unix-socket.js";
import type { VhostUserBackend } from "./backend.js";
import { MessageReceiver } from "./connection.js";
import { encodeMessage, Payload, shmemPayload, VhostUserBackendRequest } from "./message.js";
import type { ShmemWindow } from "./shmem.js";

/** The front end refused a map, or did not answer. */
export class ShmemError extends Error {
  override readonly name = "ShmemError";
}

/**
 * Serves everything that the front end may be waiting for, until `isDone` says so.
 * @param fd a descriptor to be watched beside those of the devices
 * @returns false if that took longer than `timeoutMs`
 */
export type ServeWhile = (fd: number, isDone: () => boolean, timeoutMs: number) => boolean;

const PAGE_BYTES = 4096;
/** QEMU answers within milliseconds; one that hangs must not take the daemon with it for ever. */
const ANSWER_LIMIT_MS = 10_000;

/**
 * The window of one device, by requests on the socket that the front end gave for it. QEMU announces each map to each device of
 * the VM and waits for them in turn, so all of them are served while one waits for its map.
 */
export class BackendChannel implements ShmemWindow {
  #backend: VhostUserBackend | undefined;
  #socket: MessageSocket | undefined;
  #receiver: MessageReceiver | undefined;
  #answer: bigint | undefined;
  /** Which request {@link #answer} is of. */
  #answered = 0;
  /** Another worker may have died of a request: whether its answer is still to come is not known. */
  #isUnsettled = false;

  constructor(
    readonly lengthBytes: number,
    private readonly serveWhile: ServeWhile,
    private readonly limitMs = ANSWER_LIMIT_MS,
  ) {}

  /** @param fd the socket for requests of the back end, whose it stays */
  attach(backend: VhostUserBackend, fd: number): void {
    this.#receiver?.close();
    this.#backend = backend;
    this.#isUnsettled = backend.state.owed > 0;
    this.#socket = new MessageSocket(fd);
    this.#receiver = new MessageReceiver(this.#socket);
  }

  get active(): boolean {
    return this.#backend?.queues.areRunning === true;
  }

  map(fd: number, fdOffset: number, shmOffset: number, lengthBytes: number, writable: boolean): void {
    const added = this.#backend?.memoryRegionsAdded ?? 0;
    const payload = shmemPayload(fdOffset, shmOffset, lengthBytes, writable);
    this.#request(VhostUserBackendRequest.SHMEM_MAP, payload, [fd]);
    // The answer comes before the guest can see the map. That it can is sure once the region has been announced.
    const backend = this.#backend;
    if (backend?.hasMemorySlots !== true) return;
    const isLive = () => backend.memoryRegionsAdded > added || !backend.queues.areRunning;
    if (!this.serveWhile(-1, isLive, this.limitMs)) {
      throw new ShmemError(`the map at ${shmOffset} was not announced within ${this.limitMs} ms`);
    }
  }

  unmap(shmOffset: number, lengthBytes: number): void {
    this.#request(VhostUserBackendRequest.SHMEM_UNMAP, shmemPayload(0, shmOffset, lengthBytes, false), []);
  }

  #request(request: number, payload: Uint8Array, fds: readonly number[]): void {
    if (this.#isUnsettled) this.#settle();
    this.#ask(request, payload, fds);
    if (this.#answer !== 0n)
      throw new ShmemError(`the front end refused request ${request}: its log has the reason`);
  }

  /** Sends a request and takes its answer. */
  #ask(request: number, payload: Uint8Array, fds: readonly number[]): void {
    if (!this.active || this.#socket === undefined || this.#backend === undefined)
      throw new ShmemError("the device is not running");
    this.#answer = undefined;
    // Before it is sent: whoever goes on knows at least that there may be an answer.
    this.#backend.state.owed++;
    this.#socket.send(encodeMessage(request, "request-needing-reply", payload), fds);
    this.#await(this.#socket.fd, request);
  }

  #await(fd: number, request: number): void {
    const isAnswered = () => this.#receive(request);
    if (!this.serveWhile(fd, isAnswered, this.limitMs)) {
      throw new ShmemError(`request ${request} was not answered within ${this.limitMs} ms`);
    }
  }

  /**
   * Takes the answers to what another worker has asked for, by asking for what the front end must refuse: that answer comes last, and
   * is told from the answer to a map by its number, and from that to an unmap by being a refusal.
   */
  #settle(): void {
    const { state } = this.#backend ?? {};
    if (state === undefined || this.#socket === undefined) throw new ShmemError("the device is not running");
    const request = VhostUserBackendRequest.SHMEM_UNMAP;
    state.owed = 0;
    this.#ask(request, shmemPayload(0, this.lengthBytes, PAGE_BYTES, false), []);
    while (this.#answered !== request || this.#answer === 0n) {
      this.#answer = undefined;
      state.owed = 1;
      this.#await(this.#socket.fd, request);
    }
    this.#isUnsettled = false;
  }

  #receive(request: number): boolean {
    if (this.#answer !== undefined) return true;
    // The front end has gone, or stopped the device and dropped its maps: the descriptor may be somebody else's by now.
    if (!this.active) throw new ShmemError("the device was stopped meanwhile");
    const message = this.#receiver?.receive() ?? "end";
    if (message === "empty") return false;
    if (message === "end") throw new ShmemError("the front end has closed its socket");
    for (const fd of message.fds.splice(0)) close(fd);
    const { state } = this.#backend ?? {};
    if (message.header.isReply && state !== undefined && --state.owed === 0) {
      this.#answered = message.header.request;
      this.#answer = new Payload(request, message.payload, 8).u64(0);
    }
    return this.#answer !== undefined;
  }
}
