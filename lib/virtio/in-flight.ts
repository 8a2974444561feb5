const INDEX_MASK = 0xffff;
/** Of an entry: nothing is in flight. Entries are one more than the position in the available ring. */
const NONE = 0;

/**
 * Which requests of a queue were taken and not answered, in memory that outlives the worker: one entry for each head, and
 * the answer that is being shown to the driver. QEMU offers no such area for this device ("Inflight I/O tracking" of the vhost-user specification).
 */
export class InFlight {
  /** @param entries as many as a queue may have descriptors @param publishing two numbers: a head plus one, and the used index that shows its answer */
  constructor(
    private readonly entries: Uint32Array,
    private readonly publishing: Uint32Array,
  ) {}

  /** @param position of its entry in the available ring, modulo 2^16. Called before the position is counted as taken. */
  took(head: number, position: number): void {
    this.entries[head] = position + 1;
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
  }

  /**
   * The heads of the requests that must be served anew, in the order in which they were made available.
   * @param lastAvail the next entry of the available ring to take
   * @param usedIndex as the driver sees it
   */
  unanswered(queueSize: number, lastAvail: number, usedIndex: number): number[] {
    const [publishing = 0, shown = 0] = this.publishing;
    if (publishing !== 0 && shown === usedIndex) this.published(publishing - 1);
    const found: { head: number; age: number }[] = [];
    for (let head = 0; head < queueSize; head++) {
      const entry = this.entries[head] ?? NONE;
      if (entry === NONE) continue;
      const age = (lastAvail - (entry - 1)) & INDEX_MASK;
      // The worker died between noting it and counting it as taken, or put it back: it is taken again in its turn.
      if (age === 0 || age > queueSize) this.entries[head] = NONE;
      else found.push({ head, age });
    }
    return found.sort((a, b) => b.age - a.age).map(({ head }) => head);
  }
}
