import { type ExitedChild, reapChild } from "./sys/wait.js";

/**
 * Waits for every child of this process, its own and the orphans that come to it as PID 1 or subreaper. Nothing else in
 * the process may wait for children, so nothing may use node:child_process.
 */
export class Reaper {
  readonly #waiters = new Map<number, (exitCode: number) => void>();
  /** Exits nobody has asked for yet, kept while a launch is under way: a process may end before its id is known. */
  readonly #unclaimed = new Map<number, number>();
  #launches = 0;

  /** @param nextChild takes one ended child from the kernel, or undefined. */
  constructor(private readonly nextChild: () => ExitedChild | undefined = reapChild) {}

  /** Begins to react to SIGCHLD. */
  start(): void {
    process.on("SIGCHLD", () => this.reap());
    this.reap();
  }

  /** Takes all children that have ended: one signal may stand for many. */
  reap(): void {
    for (let child = this.nextChild(); child !== undefined; child = this.nextChild()) {
      const waiter = this.#waiters.get(child.pid);
      if (waiter !== undefined) {
        this.#waiters.delete(child.pid);
        waiter(child.exitCode);
      } else if (this.#launches > 0) {
        this.#unclaimed.set(child.pid, child.exitCode);
      }
    }
  }

  /**
   * The exit code of the process `pid`. To be called once for a process, and inside the {@link launch} that made it: the
   * exit of a process that nobody asked for is forgotten.
   */
  exitOf(pid: number): Promise<number> {
    const exitCode = this.#unclaimed.get(pid);
    if (exitCode !== undefined) {
      this.#unclaimed.delete(pid);
      return Promise.resolve(exitCode);
    }
    return new Promise((resolve) => this.#waiters.set(pid, resolve));
  }

  /** Runs `work`, which starts processes, and keeps what exits meanwhile until `work` could ask for it. */
  async launch<T>(work: () => Promise<T>): Promise<T> {
    this.#launches++;
    try {
      return await work();
    } finally {
      if (--this.#launches === 0) this.#unclaimed.clear();
    }
  }
}
