import type { GuestMemory, MemoryChunk } from "./guest-memory.js";
import { GuestSegments } from "./guest-segments.js";
import type { InFlight } from "./in-flight.js";
import { type RingPart, ringPart } from "./ring-part.js";
import { asVirtqueueError, VirtqueueError } from "./virtqueue-error.js";

/** Descriptor flags (virtio 1.3, 2.7.5). */
const VIRTQ_DESC_F_NEXT = 1;
const VIRTQ_DESC_F_WRITE = 2;
const VIRTQ_DESC_F_INDIRECT = 4;
/** Flags of the rings (2.7.6, 2.7.8). */
const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
const VIRTQ_USED_F_NO_NOTIFY = 1;

const DESCRIPTOR_BYTES = 16;
const USED_ELEMENT_BYTES = 8;
/** Largest queue that the specification allows. */
export const QUEUE_SIZE_MAX = 32768;

/** Where a queue lies, by addresses of the front end, and how far both sides have come. Outlives the worker. */
export interface VringState {
  size: number;
  descriptorAddress: number;
  availAddress: number;
  usedAddress: number;
  /** Next entry of the available ring to take, modulo 2^16. */
  lastAvail: number;
  /** Where requests are noted that were taken and not answered, if somebody may have to go on with them. */
  readonly inFlight?: InFlight;
}

/**
 * The device's side of a split virtqueue (virtio 1.3, 2.7), in place in guest memory. Nothing is allocated per request.
 *
 * The guest can write to all of it at any time. Each descriptor is read once, and what was read is checked; memory that lies
 * outside of the guest's, loops, and counts that cannot be end in a {@link VirtqueueError}.
 */
export class SplitVirtqueue {
  /** The request that {@link next} took. */
  readonly readable: GuestSegments;
  readonly writable: GuestSegments;

  readonly #descriptors: RingPart;
  readonly #avail: RingPart;
  readonly #used: RingPart;
  readonly #size: number;
  /** Index in 16-bit words of each ring's `idx`, of the first entry, and of the event field behind the last entry. */
  readonly #availWord: number;
  readonly #usedWord: number;
  #lastUsed: number;
  #publishedUsed: number;
  /** `lastUsed` when the driver was last asked whether it wants an interrupt; -1 if it never was. */
  #signalledUsed = -1;
  /** Requests that were taken and not given back. */
  #unfinished = 0;
  readonly #inFlight: InFlight | undefined;
  /** The request that was completed last. */
  #completed = 0;

  /** @throws VirtqueueError if the rings do not lie in guest memory as they must */
  constructor(
    private readonly memory: GuestMemory,
    private readonly state: VringState,
    private readonly hasEventIdx: boolean,
  ) {
    const { size } = state;
    if (size === 0 || size > QUEUE_SIZE_MAX || (size & (size - 1)) !== 0) {
      throw new VirtqueueError(`a queue of ${size} entries`);
    }
    this.#size = size;
    this.#inFlight = state.inFlight;
    this.#descriptors = ringPart(
      memory,
      state.descriptorAddress,
      DESCRIPTOR_BYTES * size,
      16,
      "descriptor table",
    );
    this.#avail = ringPart(memory, state.availAddress, 6 + 2 * size, 2, "available ring");
    this.#used = ringPart(memory, state.usedAddress, 6 + USED_ELEMENT_BYTES * size, 4, "used ring");
    this.#availWord = this.#avail.offset / 2;
    this.#usedWord = this.#used.offset / 2;
    // Each segment can be cut once where two chunks of memory meet.
    this.readable = new GuestSegments(2 * size);
    this.writable = new GuestSegments(2 * size);
    this.#lastUsed = Atomics.load(this.#used.chunk.words, this.#usedWord + 1);
    this.#publishedUsed = this.#lastUsed;
  }

  /** Whether the queue's rings lie in that chunk. */
  uses(chunk: MemoryChunk): boolean {
    return this.#descriptors.chunk === chunk || this.#avail.chunk === chunk || this.#used.chunk === chunk;
  }

  /** Whether the driver has made requests available that were not taken. */
  get hasNext(): boolean {
    return Atomics.load(this.#avail.chunk.words, this.#availWord + 1) !== this.state.lastAvail;
  }

  /**
   * Takes the next request, into {@link readable} and {@link writable}.
   * @returns its head, to be given to {@link complete}; -1 if there is none
   * @throws VirtqueueError
   */
  next(): number {
    const { words } = this.#avail.chunk;
    const { lastAvail } = this.state;
    // Loads after the index must see what the driver wrote before it: an atomic load keeps that order.
    const available = Atomics.load(words, this.#availWord + 1);
    if (available === lastAvail) return -1;
    if (((available - lastAvail) & 0xffff) > this.#size) {
      throw new VirtqueueError(
        `the available index went from ${lastAvail} to ${available} with ${this.#size} entries`,
      );
    }
    const head = words[this.#availWord + 2 + (lastAvail & (this.#size - 1))] ?? 0;
    this.#walk(head);
    this.#inFlight?.took(head, lastAvail);
    this.state.lastAvail = (lastAvail + 1) & 0xffff;
    this.#unfinished++;
    return head;
  }

  /**
   * Gives a request back with `written` bytes in its writable part. The driver sees it at the next {@link publish}, which comes before the
   * next request is given back where requests in flight are noted.
   */
  complete(head: number, written: number): void {
    const { view } = this.#used.chunk;
    const element = this.#used.offset + 4 + USED_ELEMENT_BYTES * (this.#lastUsed & (this.#size - 1));
    view.setUint32(element, head, true);
    view.setUint32(element + 4, written, true);
    this.#lastUsed = (this.#lastUsed + 1) & 0xffff;
    this.#completed = head;
    this.#unfinished--;
  }

  /** Leaves the request that {@link next} took with the device, which answers it after others: see {@link resume}. */
  defer(): void {
    this.#unfinished--;
  }

  /**
   * Takes up a request that was deferred, on this queue or on the one before it in the same memory, to be given to {@link complete}.
   * Its segments are read anew.
   * @throws VirtqueueError
   */
  resume(head: number): void {
    this.#walk(head);
    this.#unfinished++;
  }

  /** The requests that whoever served this queue before took and did not answer, in the order in which they came: see {@link resume}. */
  unanswered(): number[] {
    const usedIndex = Atomics.load(this.#used.chunk.words, this.#usedWord + 1);
    return this.#inFlight?.unanswered(this.#size, this.state.lastAvail, usedIndex) ?? [];
  }

  /** Undoes the last {@link next}: the request is taken again later. */
  putBack(): void {
    this.state.lastAvail = (this.state.lastAvail - 1) & 0xffff;
    this.#unfinished--;
  }

  /** Undoes each {@link next} that was not completed: whoever serves the queue from its state on takes those requests again. */
  putBackUnfinished(): void {
    while (this.#unfinished > 0) this.putBack();
  }

  /**
   * Lets the driver see what was completed (2.7.8.2).
   * @returns whether it wants an interrupt (2.7.7)
   */
  publish(): boolean {
    const now = this.#lastUsed;
    if (now === this.#publishedUsed) return false;
    this.#inFlight?.publishes(this.#completed, now);
    // An atomic store is a full barrier: the elements are visible before the index, and the index before the driver's wish is read.
    Atomics.store(this.#used.chunk.words, this.#usedWord + 1, now);
    this.#publishedUsed = now;
    this.#inFlight?.published(this.#completed);
    const old = this.#signalledUsed;
    this.#signalledUsed = now;
    const { words } = this.#avail.chunk;
    if (!this.hasEventIdx) return ((words[this.#availWord] ?? 0) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    // A queue that goes on elsewhere does not know what was signalled before: a signal too many does no harm.
    if (old < 0) return true;
    const usedEvent = words[this.#availWord + 2 + this.#size] ?? 0;
    return ((now - usedEvent - 1) & 0xffff) < ((now - old) & 0xffff);
  }

  /** Tells the driver that it need not notify: the device looks by itself. */
  suppressNotifications(): void {
    if (!this.hasEventIdx) Atomics.store(this.#used.chunk.words, this.#usedWord, VIRTQ_USED_F_NO_NOTIFY);
  }

  /**
   * Asks the driver to notify from now on (2.7.10).
   * @returns whether a request came in the meantime, which the driver may not notify
   */
  requestNotifications(): boolean {
    const { words } = this.#used.chunk;
    if (this.hasEventIdx) Atomics.store(words, this.#usedWord + 2 + 4 * this.#size, this.state.lastAvail);
    else Atomics.store(words, this.#usedWord, 0);
    return this.hasNext;
  }

  #walk(head: number): void {
    this.readable.clear();
    this.writable.clear();
    let { chunk, offset } = this.#descriptors;
    let entries = this.#size;
    let isIndirect = false;
    let index = head;
    // No chain is longer than the queue (2.7.5.3.1), be it in an indirect table or not. What refers to the table is not of the chain.
    for (let count = 0; count < this.#size; ) {
      if (index >= entries) throw new VirtqueueError(`descriptor ${index} in a table of ${entries}`);
      const at = offset + DESCRIPTOR_BYTES * index;
      const address = addressAt(chunk.view, at);
      const length = chunk.view.getUint32(at + 8, true);
      const flags = chunk.view.getUint16(at + 12, true);
      const next = chunk.view.getUint16(at + 14, true);
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) {
        if (isIndirect) throw new VirtqueueError("an indirect table within another one");
        if ((flags & VIRTQ_DESC_F_NEXT) !== 0)
          throw new VirtqueueError("a descriptor behind an indirect table");
        if (length === 0 || length % DESCRIPTOR_BYTES !== 0) {
          throw new VirtqueueError(`an indirect table of ${length} bytes`);
        }
        const table = this.#find(address);
        if (table === undefined || address + length > table.guestAddress + table.byteLength) {
          throw new VirtqueueError(`no memory for an indirect table at 0x${address.toString(16)}`);
        }
        if (!table.isWritable) throw new VirtqueueError("an indirect table in read-only memory");
        chunk = table;
        offset = address - table.guestAddress;
        entries = length / DESCRIPTOR_BYTES;
        isIndirect = true;
        index = 0;
        continue;
      }
      count++;
      this.#push(address, length, (flags & VIRTQ_DESC_F_WRITE) !== 0);
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) return;
      index = next;
    }
    throw new VirtqueueError(`a chain of more than ${this.#size} descriptors`);
  }

  #push(address: number, length: number, isWritable: boolean): void {
    const list = isWritable ? this.writable : this.readable;
    if (!isWritable && this.writable.count > 0)
      throw new VirtqueueError("a readable descriptor behind a writable one");
    let at = address;
    let rest = length;
    while (rest > 0) {
      const chunk = this.#find(at);
      if (chunk === undefined) throw new VirtqueueError(`no memory at 0x${at.toString(16)}, ${rest} bytes`);
      if (isWritable && !chunk.isWritable)
        throw new VirtqueueError(`read-only memory at 0x${at.toString(16)}`);
      const offset = at - chunk.guestAddress;
      const part = Math.min(rest, chunk.byteLength - offset);
      if (!list.push(chunk, offset, part)) throw new VirtqueueError(`more than ${list.capacity} segments`);
      at += part;
      rest -= part;
    }
  }

  #find(address: number): MemoryChunk | undefined {
    try {
      return this.memory.find(address);
    } catch (error) {
      throw asVirtqueueError(error);
    }
  }
}

/** A 64-bit address; one that has more than 53 bits is in no memory, whatever its lowest ones are. */
function addressAt(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}
