import { discard } from "../../lib/sys/discard.js";
import { type FsdState, INODE, INODE_CHUNK, SESSION } from "../state.js";

/** In `INODE_CHUNK.next`: the chunk is full, and in no list. */
const NOT_LISTED = 0xffff_ffff;

/**
 * Gives out the slots of the inode table. Slots come in chunks, whose memory goes back to the kernel when the last of their slots is
 * given back; what stays of a chunk is which sequences were used.
 */
export class InodeSlots {
  readonly #session: DataView;
  readonly #records: DataView;
  readonly #chunks: DataView;
  readonly #chunkCount: number;

  constructor(state: FsdState) {
    this.#session = state.session;
    this.#records = state.inodes;
    this.#chunks = state.inodeChunks;
    this.#chunkCount = state.inodeChunks.byteLength / INODE_CHUNK.bytes;
  }

  /** @returns a slot whose record has its sequence and is else without meaning, or 0 if all are taken */
  take(): number {
    const chunk = this.#chunkWithRoom();
    if (chunk < 0) return 0;
    let slot = this.#get(chunk, INODE_CHUNK.free);
    if (slot !== 0) {
      this.#set(chunk, INODE_CHUNK.free, this.#records.getUint32(slot * INODE.bytes + INODE.next, true));
    } else {
      const used = this.#get(chunk, INODE_CHUNK.used);
      slot = chunk * INODE_CHUNK.slots + used;
      this.#set(chunk, INODE_CHUNK.used, used + 1);
      const sequence = this.#get(chunk, INODE_CHUNK.sequence);
      this.#records.setUint32(slot * INODE.bytes + INODE.sequence, sequence, true);
    }
    this.#set(chunk, INODE_CHUNK.live, this.#get(chunk, INODE_CHUNK.live) + 1);
    if (this.#isFull(chunk)) {
      this.#session.setUint32(SESSION.inodeChunkWithRoom, this.#get(chunk, INODE_CHUNK.next), true);
      this.#set(chunk, INODE_CHUNK.next, NOT_LISTED);
    }
    return slot;
  }

  /** Takes back a slot; its next user gets the next sequence. */
  give(slot: number): void {
    const chunk = Math.floor(slot / INODE_CHUNK.slots);
    const record = slot * INODE.bytes;
    const sequence = (this.#records.getUint32(record + INODE.sequence, true) + 1) >>> 0;
    const live = this.#get(chunk, INODE_CHUNK.live) - 1;
    this.#set(chunk, INODE_CHUNK.live, live);
    this.#set(
      chunk,
      INODE_CHUNK.nextSequence,
      Math.max(sequence, this.#get(chunk, INODE_CHUNK.nextSequence)),
    );
    if (this.#get(chunk, INODE_CHUNK.next) === NOT_LISTED) {
      this.#set(chunk, INODE_CHUNK.next, this.#session.getUint32(SESSION.inodeChunkWithRoom, true));
      this.#session.setUint32(SESSION.inodeChunkWithRoom, chunk + 1, true);
    }
    if (live === 0) {
      // First: a worker that finds the records empty must not give their node ids out again.
      this.#set(chunk, INODE_CHUNK.sequence, this.#get(chunk, INODE_CHUNK.nextSequence));
      const start = chunk * INODE_CHUNK.slots * INODE.bytes;
      discard(this.#records, start, this.#get(chunk, INODE_CHUNK.used) * INODE.bytes);
      this.#set(chunk, INODE_CHUNK.free, 0);
      this.#set(chunk, INODE_CHUNK.used, 0);
      return;
    }
    // First: whatever happens in between, no node id comes back.
    this.#records.setUint32(record + INODE.sequence, sequence, true);
    this.#records.setUint32(record + INODE.flags, 0, true);
    this.#records.setUint32(record + INODE.next, this.#get(chunk, INODE_CHUNK.free), true);
    this.#set(chunk, INODE_CHUNK.free, slot);
  }

  /** One more than the highest slot that may be in use. */
  get end(): number {
    return this.#session.getUint32(SESSION.inodeChunksUsed, true) * INODE_CHUNK.slots;
  }

  /** Whether none of the slots of the chunk that `slot` is in is in use. */
  isEmptyChunk(slot: number): boolean {
    return this.#get(Math.floor(slot / INODE_CHUNK.slots), INODE_CHUNK.live) === 0;
  }

  /** The index of a chunk that has room, or -1. */
  #chunkWithRoom(): number {
    const listed = this.#session.getUint32(SESSION.inodeChunkWithRoom, true);
    if (listed !== 0) return listed - 1;
    const chunk = this.#session.getUint32(SESSION.inodeChunksUsed, true);
    if (chunk === this.#chunkCount) return -1;
    this.#session.setUint32(SESSION.inodeChunksUsed, chunk + 1, true);
    this.#session.setUint32(SESSION.inodeChunkWithRoom, chunk + 1, true);
    // Slot 0 is never given out: it stands for "none", and what it counts as keeps the first chunk.
    if (chunk === 0) {
      this.#set(chunk, INODE_CHUNK.live, 1);
      this.#set(chunk, INODE_CHUNK.used, 1);
    }
    return chunk;
  }

  #isFull(chunk: number): boolean {
    return (
      this.#get(chunk, INODE_CHUNK.free) === 0 && this.#get(chunk, INODE_CHUNK.used) === INODE_CHUNK.slots
    );
  }
  #get(chunk: number, field: number): number {
    return this.#chunks.getUint32(chunk * INODE_CHUNK.bytes + field, true);
  }
  #set(chunk: number, field: number, value: number): void {
    this.#chunks.setUint32(chunk * INODE_CHUNK.bytes + field, value, true);
  }
}
