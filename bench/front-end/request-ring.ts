import { IN_HEADER_BYTES, OUT_HEADER_BYTES } from "../../fsd/fuse/constants.js";
import type { TestFrontEnd } from "../../lib/vhost-user/testing/test-front-end.js";

/** A guest's payload lies in pages, each of them a descriptor. */
const PAGE_BYTES = 4096;
/** How often the used index is looked at between two looks at the clock. */
const SPINS = 1 << 20;
const REPLY_LIMIT_MS = 10_000;

/** A request that was laid out once, in guest memory, and is made any number of times. */
export interface PreparedRequest {
  readonly head: number;
  /** Header and arguments, to be changed between two calls. */
  readonly request: DataView;
  /** The reply's header and what follows it, up to the first page of payload. */
  readonly reply: DataView;
  /** The pages behind the request's arguments, or behind the reply's header. */
  readonly payload: Uint8Array;
}

/** How a request is laid out. Lengths in bytes. */
export interface RequestShape {
  /** Behind the header. */
  readonly args: Uint8Array;
  /** Payload of a WRITE, in pages of its own. */
  readonly payloadOut?: number;
  /** Room for the reply behind its header. */
  readonly room: number;
  /** Payload of a READ, in pages of its own. */
  readonly payloadIn?: number;
}

/**
 * The driver's side of one queue, one request at a time, made to cost little itself: everything is laid out before, nothing is allocated, and
 * the answer is waited for by looking at the used ring. It kicks when the device wants that, and wants to be signalled for each answer, as a
 * guest's driver does.
 */
export class RequestRing {
  /** Requests that were made, and kicks that the device wanted for them. */
  requests = 0;
  kicks = 0;
  readonly #words: Uint16Array;
  readonly #view: DataView;
  readonly #size: number;
  readonly #availWord: number;
  readonly #usedWord: number;
  #freeDescriptor = 0;
  #availIndex = 0;
  #usedIndex = 0;
  #unique = 0;

  constructor(
    private readonly frontEnd: TestFrontEnd,
    private readonly queue: number,
  ) {
    const { bytes } = frontEnd.memory;
    const driver = frontEnd.driver(queue);
    this.#words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#size = driver.size;
    this.#availWord = driver.availRing >> 1;
    this.#usedWord = driver.usedRing >> 1;
  }

  /** Lays a request out in memory and descriptors of its own. @throws Error when either is used up */
  prepare(opcode: number, nodeId: bigint, shape: RequestShape): PreparedRequest {
    const { memory } = this.frontEnd;
    const { args, payloadOut = 0, room, payloadIn = 0 } = shape;
    const requestBytes = IN_HEADER_BYTES + args.length;
    const replyBytes = OUT_HEADER_BYTES + room;
    const request = memory.allocate(requestBytes, 64);
    const reply = memory.allocate(replyBytes, 64);
    const payload = memory.allocate(payloadOut + payloadIn, PAGE_BYTES);
    const pages = (length: number): [number, number][] =>
      Array.from({ length: Math.ceil(length / PAGE_BYTES) }, (_, index) => [
        payload + index * PAGE_BYTES,
        Math.min(PAGE_BYTES, length - index * PAGE_BYTES),
      ]);
    const readable: [number, number][] = [[request, requestBytes], ...pages(payloadOut)];
    const writable: [number, number][] = [[reply, replyBytes], ...pages(payloadIn)];
    const head = this.#freeDescriptor;
    this.#freeDescriptor += readable.length + writable.length;
    if (this.#freeDescriptor > this.#size) throw new Error(`a queue of ${this.#size} is too small`);
    this.frontEnd.driver(this.queue).setChain(head, readable, writable);

    const view = new DataView(this.#view.buffer, this.#view.byteOffset + request, requestBytes);
    view.setUint32(0, requestBytes + payloadOut, true);
    view.setUint32(4, opcode, true);
    view.setBigUint64(16, nodeId, true);
    memory.bytes.set(args, request + IN_HEADER_BYTES);
    return {
      head,
      request: view,
      reply: new DataView(this.#view.buffer, this.#view.byteOffset + reply, replyBytes),
      payload: memory.bytes.subarray(payload, payload + payloadOut + payloadIn),
    };
  }

  /** Where {@link freeTo} goes back to. */
  get mark(): { readonly descriptor: number; readonly memory: number } {
    return { descriptor: this.#freeDescriptor, memory: this.frontEnd.memory.used };
  }

  /** Gives up all requests that were prepared since. */
  freeTo(mark: RequestRing["mark"]): void {
    this.#freeDescriptor = mark.descriptor;
    this.frontEnd.memory.freeTo(mark.memory);
  }

  /** Makes the request and waits. @returns 0 or -errno, from the reply; 0 for one that has none. @throws Error if no answer comes */
  run({ head, request, reply }: PreparedRequest): number {
    const words = this.#words;
    const before = this.#availIndex;
    this.requests++;
    this.#unique = (this.#unique + 1) >>> 0;
    request.setUint32(8, this.#unique, true);
    reply.setInt32(4, 0, true);
    words[this.#availWord + 2 + (before & (this.#size - 1))] = head;
    // The device is to signal this answer.
    words[this.#availWord + 2 + this.#size] = this.#usedIndex;
    this.#availIndex = (before + 1) & 0xffff;
    Atomics.store(words, this.#availWord + 1, this.#availIndex);
    if (Atomics.load(words, this.#usedWord + 2 + 4 * this.#size) === before) {
      this.kicks++;
      this.frontEnd.kick(this.queue);
    }
    this.#wait();
    return reply.getInt32(4, true);
  }

  #wait(): void {
    const word = this.#usedWord + 1;
    for (let spins = 0; Atomics.load(this.#words, word) === this.#usedIndex; spins++) {
      if (spins === SPINS) this.#waitLonger(word);
    }
    this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
  }

  #waitLonger(word: number): void {
    const deadlineMs = performance.now() + REPLY_LIMIT_MS;
    while (Atomics.load(this.#words, word) === this.#usedIndex) {
      if (performance.now() > deadlineMs) throw new Error("the daemon does not answer");
    }
  }
}
