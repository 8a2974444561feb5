import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../error.js";
import type { Logger } from "../log/logger.js";

/** First and longest pause between attempts to deliver an event. */
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 5_000;

/** More events than the busiest pod makes in the longest restart of containerd. */
const DEFAULT_CAPACITY = 2_048;

/** An event that the receiver refused for good: another attempt would end the same. */
export class EventRejected extends Error {
  override readonly name = "EventRejected";
}

/**
 * Delivers events one by one in the order of {@link push}, as long as it takes. containerd may be away for minutes; the shim
 * does not wait for it, but the order of a task's events must hold when it is back. When the queue is full the oldest
 * event goes first.
 */
export class EventQueue<E extends { readonly topic: string }> {
  readonly #deliver: (event: E) => Promise<void>;
  readonly #logger: Logger;
  readonly #capacity: number;
  readonly #waiting: E[] = [];
  #delivery: Promise<void> | undefined;

  /** @param deliver one attempt; rejects with {@link EventRejected} to have the event dropped, with anything else to be called again */
  constructor(deliver: (event: E) => Promise<void>, logger: Logger, capacity = DEFAULT_CAPACITY) {
    this.#deliver = deliver;
    this.#logger = logger;
    this.#capacity = capacity;
  }

  push(event: E): void {
    if (this.#waiting.length >= this.#capacity) {
      // The first one is being delivered at this moment.
      const [lost] = this.#waiting.splice(1, 1);
      this.#logger.warn("event lost: containerd has been away for too long", { topic: lost?.topic });
    }
    this.#waiting.push(event);
    this.#delivery ??= this.#deliverAll();
  }

  /** Resolves when every event pushed so far is delivered, or after `timeoutMs`. */
  async flush(timeoutMs: number): Promise<void> {
    if (this.#delivery === undefined) return;
    const timeout = new AbortController();
    await Promise.race([this.#delivery, sleep(timeoutMs, undefined, { signal: timeout.signal })]);
    timeout.abort();
  }

  async #deliverAll(): Promise<void> {
    let pauseMs = RETRY_MIN_MS;
    for (;;) {
      const [event] = this.#waiting;
      if (event === undefined) {
        this.#delivery = undefined;
        return;
      }
      try {
        await this.#deliver(event);
      } catch (error) {
        if (!(error instanceof EventRejected)) {
          this.#logger.debug("event not delivered, will try again", {
            topic: event.topic,
            error: messageOf(error),
            pauseMs,
          });
          // Unreferenced: a shim that has nothing else left to do ends without it.
          await sleep(pauseMs, undefined, { ref: false });
          pauseMs = Math.min(2 * pauseMs, RETRY_MAX_MS);
          continue;
        }
        this.#logger.warn("containerd refused an event", { topic: event.topic, error: messageOf(error) });
      }
      pauseMs = RETRY_MIN_MS;
      this.#waiting.shift();
    }
  }
}
