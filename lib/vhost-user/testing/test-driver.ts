import type { TestMemory } from "./test-memory.js";

export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;

export interface TestDescriptor {
  readonly address: number;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

/** The driver's side of a split virtqueue, for tests: descriptors are written as they are asked for, right or wrong. */
export class TestDriver {
  readonly descriptorTable: number;
  readonly availRing: number;
  readonly usedRing: number;
  #availIndex = 0;
  #usedIndex = 0;

  constructor(
    readonly memory: TestMemory,
    readonly size: number,
  ) {
    this.descriptorTable = memory.allocate(16 * size, 16);
    this.availRing = memory.allocate(6 + 2 * size, 2);
    this.usedRing = memory.allocate(6 + 8 * size, 4);
  }

  /** Writes one descriptor of the table at offset `table`. */
  setDescriptor(
    index: number,
    { address, length, flags, next }: TestDescriptor,
    table = this.descriptorTable,
  ): void {
    const at = table + 16 * index;
    this.memory.bytes.writeBigUInt64LE(BigInt(address), at);
    this.memory.bytes.writeUInt32LE(length, at + 8);
    this.memory.bytes.writeUInt16LE(flags, at + 12);
    this.memory.bytes.writeUInt16LE(next, at + 14);
  }

  /** Chains buffers, given as offset and length, from descriptor `first` on: the readable ones before the writable. */
  setChain(
    first: number,
    readable: readonly [number, number][],
    writable: readonly [number, number][],
  ): void {
    const all = [
      ...readable.map((buffer) => ({ buffer, flags: 0 })),
      ...writable.map((buffer) => ({ buffer, flags: VIRTQ_DESC_F_WRITE })),
    ];
    for (const [index, { buffer, flags }] of all.entries()) {
      const isLast = index === all.length - 1;
      this.setDescriptor(first + index, {
        address: buffer[0],
        length: buffer[1],
        flags: flags | (isLast ? 0 : VIRTQ_DESC_F_NEXT),
        next: isLast ? 0 : first + index + 1,
      });
    }
  }

  /** Makes the chain that begins with descriptor `head` available. */
  offer(head: number): void {
    this.memory.bytes.writeUInt16LE(head, this.availRing + 4 + 2 * (this.#availIndex % this.size));
    this.#availIndex = (this.#availIndex + 1) & 0xffff;
    this.memory.bytes.writeUInt16LE(this.#availIndex, this.availRing + 2);
  }

  /** Begins anew, as a driver does that has reset the device. */
  reset(): void {
    this.#availIndex = 0;
    this.#usedIndex = 0;
    this.memory.bytes.fill(0, this.availRing, this.availRing + 6 + 2 * this.size);
    this.memory.bytes.fill(0, this.usedRing, this.usedRing + 6 + 8 * this.size);
  }

  /** Lets the available index jump, as no driver does. */
  setAvailIndex(index: number): void {
    this.memory.bytes.writeUInt16LE(index & 0xffff, this.availRing + 2);
  }

  /** Asks to be signalled when the used index passes `index` (VIRTIO_RING_F_EVENT_IDX). */
  setUsedEvent(index: number): void {
    this.memory.bytes.writeUInt16LE(index & 0xffff, this.availRing + 4 + 2 * this.size);
  }

  /** The device's wish to be kicked for the entry of this index (VIRTIO_RING_F_EVENT_IDX). */
  get availEvent(): number {
    return this.memory.bytes.readUInt16LE(this.usedRing + 4 + 8 * this.size);
  }

  /** Takes the next completed chain, if there is one. */
  take(): { head: number; written: number } | undefined {
    if (this.memory.bytes.readUInt16LE(this.usedRing + 2) === this.#usedIndex) return undefined;
    const at = this.usedRing + 4 + 8 * (this.#usedIndex % this.size);
    this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
    return { head: this.memory.bytes.readUInt32LE(at), written: this.memory.bytes.readUInt32LE(at + 4) };
  }
}
