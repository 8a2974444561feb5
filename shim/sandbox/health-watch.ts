import { setTimeout as delay } from "node:timers/promises";
import { messageOf, ShimError, StatusCode } from "../error.js";

/** How often the guest is asked, as a part of how long it may be silent. */
const ASKED_WITHIN_SILENCE = 4;

export interface HealthWatchOptions {
  /** Resolves when the agent has answered, rejects when it has not in time. */
  readonly check: () => Promise<void>;
  /** Whether the guest's processors run: one that somebody has stopped cannot answer. */
  readonly isVmRunning: () => Promise<boolean>;
  /** How long a guest that runs may be silent. */
  readonly silenceMs: number;
  /** Says what the guest's console shows, for the error. */
  readonly describeConsole: () => string;
}

/**
 * Asks a guest that is up whether it still answers. One whose kernel hangs, or whose agent has ended, keeps its virtual machine running, and
 * nobody would see the end of its containers.
 */
export class HealthWatch {
  /** Resolves, with the reason, when the guest has been silent for too long. */
  readonly lost: Promise<Error>;
  readonly #stopped = new AbortController();

  constructor(private readonly options: HealthWatchOptions) {
    this.lost = new Promise((resolve) => {
      void this.#watch().then((reason) => {
        if (reason !== undefined) resolve(reason);
      });
    });
  }

  /** From here on nothing is lost any more. Harmless when it has been called before. */
  stop(): void {
    this.#stopped.abort();
  }

  /** @returns undefined when it was stopped */
  async #watch(): Promise<Error | undefined> {
    const { check, isVmRunning, silenceMs, describeConsole } = this.options;
    const { signal } = this.#stopped;
    let answeredMs = performance.now();
    while (await this.#rest(silenceMs / ASKED_WITHIN_SILENCE)) {
      try {
        await check();
        answeredMs = performance.now();
      } catch (cause) {
        if (signal.aborted) return undefined;
        if (!(await isVmRunning())) answeredMs = performance.now();
        if (performance.now() - answeredMs < silenceMs) continue;
        return new ShimError(
          StatusCode.UNAVAILABLE,
          `the guest has not answered for ${silenceMs / 1000} s (${messageOf(cause)}); ${describeConsole()}`,
          { cause },
        );
      }
    }
    return undefined;
  }

  /** @returns false when the watch was stopped meanwhile */
  async #rest(timeMs: number): Promise<boolean> {
    const { signal } = this.#stopped;
    // Rejects for the stop alone, which the return value tells.
    await delay(timeMs, undefined, { signal, ref: false }).catch(() => {});
    return !signal.aborted;
  }
}
