/** The longest time for which rings are looked at before the daemon sleeps, and the shortest that is worth it. */
const LONGEST_MS = 0.05;
const SHORTEST_MS = 0.01;
/** With polling given up, one in so many sleeps is put off to see whether it would help again. */
const TRY_EVERY = 32;
/** Looks at the rings between two at the clock. */
const LOOKS = 16;

/**
 * Whether to look at the rings for some microseconds before sleeping. A driver that asks one thing after the other finds the daemon awake, and
 * neither a kick nor a wake-up is needed. Where that does not help - the driver takes longer, or it waits for this very processor - the time
 * is halved until there is none; it doubles with each request that comes in time.
 */
export class RingPolling {
  #budgetMs = LONGEST_MS;
  #sleeps = 0;

  /**
   * @param hasWork whether there is a request
   * @param mustSleep whether there is something that only the kernel can tell
   * @param now a clock in milliseconds
   */
  constructor(
    private readonly hasWork: () => boolean,
    private readonly mustSleep: () => boolean,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Looks for requests without sleeping. @returns whether there are any */
  look(): boolean {
    if (this.hasWork()) return true;
    const budgetMs = this.#nextBudgetMs();
    if (budgetMs === 0 || this.mustSleep()) return false;
    const endMs = this.now() + budgetMs;
    do {
      for (let looks = 0; looks < LOOKS; looks++) {
        if (!this.hasWork()) continue;
        this.#budgetMs = Math.min(2 * budgetMs, LONGEST_MS);
        return true;
      }
      if (this.mustSleep()) return false;
    } while (this.now() < endMs);
    this.#budgetMs = budgetMs > SHORTEST_MS ? budgetMs / 2 : 0;
    return false;
  }

  #nextBudgetMs(): number {
    if (this.#budgetMs > 0) return this.#budgetMs;
    this.#sleeps = (this.#sleeps + 1) % TRY_EVERY;
    return this.#sleeps === 0 ? SHORTEST_MS : 0;
  }
}
