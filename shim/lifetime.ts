import type { Socket } from "node:net";
import { timeLimitMs } from "./time-limits.js";

/** Decides when the shim is no longer needed: when it is told so, or when nobody uses it. */
export class Lifetime {
  /** Resolves with the reason. */
  readonly ended: Promise<string>;
  readonly #isIdle: () => boolean;
  readonly #unusedLimitMs: () => number;
  readonly #connections = new Set<Socket>();
  /** Whether there was no task when the timer went off last. */
  #wasIdle = false;
  #timer: NodeJS.Timeout | undefined;
  #hasEnded = false;
  #end: (reason: string) => void = () => {};

  /**
   * @param isIdle whether there is no task
   * @param unusedLimitMs how long it waits for containerd then: a shim whose containerd stopped during `start` is known to nobody. At the
   *   longest twice that while containerd is connected: a containerd 1.6 that was killed during Create keeps a shim that has nothing
   */
  constructor(isIdle: () => boolean, unusedLimitMs = () => timeLimitMs("unusedSeconds")) {
    this.#isIdle = isIdle;
    this.#unusedLimitMs = unusedLimitMs;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#restartTimer();
  }

  /** Counts a connection of containerd until it closes. */
  track(connection: Socket): void {
    this.#connections.add(connection);
    connection.once("close", () => {
      this.#connections.delete(connection);
      if (this.#connections.size === 0) this.#restartTimer();
    });
  }

  end(reason: string): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#end(reason);
  }

  /** Resolves when containerd has closed its connections, or after `timeoutMs`. */
  async connectionsClosed(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      const check = () => {
        if (this.#connections.size > 0) return;
        clearTimeout(timer);
        resolve();
      };
      // Listeners run in the order they were added: the set is up to date by now.
      for (const connection of this.#connections) connection.once("close", check);
      check();
    });
  }

  #restartTimer(): void {
    clearTimeout(this.#timer);
    // The last connections close after the end: the process must not wait for them once more.
    if (this.#hasEnded) return;
    // The first Create may bring another limit.
    const limitMs = this.#unusedLimitMs();
    this.#timer = setTimeout(() => {
      const isIdle = this.#isIdle();
      if (isIdle && (this.#wasIdle || this.#connections.size === 0)) {
        this.end(`no task for ${limitMs / 1_000} s`);
        return;
      }
      this.#wasIdle = isIdle;
      this.#restartTimer();
    }, limitMs);
  }
}
