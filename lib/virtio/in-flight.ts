/** Of an entry: nothing is in flight. Entries are one more than what counts the request. */
const NONE = 0;
/** Requests are counted from here on, so that the counts before some that were put back are no less than 0. */
const FIRST = 2 ** 17;

/**
 * Which requests of a queue were taken and not answered, in memory that outlives the worker: one entry for each head, and
 * the answer that is being shown to the driver. QEMU offers no such area for this device ("Inflight I/O tracking" of the vhost-user specification).
 *
 * Requests are counted in the order in which they were made available, beyond the 16 bits of a ring's index: one that waits, as for a lock, is
 * answered after any number of others.
 */
export class InFlight {
  /**
   * @param entries as many as a queue may have descriptors
   * @param publishing two numbers: a head plus one, and the used index that shows its answer
   * @param taken one number: what counts the request that was taken last
   */
  constructor(
    private readonly entries: Float64Array,
    private readonly publishing: Uint32Array,
    private readonly taken: Float64Array,
  ) {}

  /** @param position of its entry in the available ring, modulo 2^16. Called before the position is counted as taken. */
  took(head: number, position: number): void {
    const count = this.#countAt(position);
    this.entries[head] = count + 1;
    this.taken[0] = count;
  }

  /** The used index is about to become `usedIndex`, by which the driver sees the answer to the request. */
  publishes(head: number, usedIndex: number): void {
    this.publishing[1] = usedIndex;
    this.publishing[0] = head + 1;
  }

  /** The used index is what was said. */
  published(head: number): void {
    this.entries[head] = NONE;
    this.publishing[0] = 0;
  }

  clear(queueSize: number): void {
    this.entries.fill(NONE, 0, queueSize);
    this.publishing[0] = 0;
    this.taken[0] = FIRST;
  }

  /**
   * The heads of the requests that must be served anew, in the order in which they were made available.
   * @param lastAvail the next entry of the available ring to take
   * @param usedIndex as the driver sees it
   */
  unanswered(queueSize: number, lastAvail: number, usedIndex: number): number[] {
    const [publishing = 0, shown = 0] = this.publishing;
    if (publishing !== 0 && shown === usedIndex) this.published(publishing - 1);
    const next = this.#countAt(lastAvail);
    const found: { head: number; count: number }[] = [];
    for (let head = 0; head < queueSize; head++) {
      const entry = this.entries[head] ?? NONE;
      if (entry === NONE) continue;
      const count = entry - 1;
      // The worker died between noting it and counting it as taken, or put it back: it is taken again in its turn.
      if (count >= next) this.entries[head] = NONE;
      else found.push({ head, count });
    }
    return found.sort((a, b) => a.count - b.count).map(({ head }) => head);
  }

  /** What counts the request at a position of the available ring that is less than 2^15 from that of the last one. */
  #countAt(position: number): number {
    const last = this.taken[0] || FIRST;
    return last + (((position - last) << 16) >> 16);
  }
}
