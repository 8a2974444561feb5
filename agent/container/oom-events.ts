import { existsSync, type FSWatcher, watch } from "node:fs";
import { join } from "node:path";
import { MEMORY_EVENTS, oomKills } from "./cgroup.js";

/** The containers in which the kernel killed a process for want of memory, for GetOOMEvent, which asks again and again. */
export class OomEvents {
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #pending: string[] = [];
  readonly #takers: ((containerId: string) => void)[] = [];

  /** Watches a container, if its processes have a cgroup of their own with memory accounting. */
  watch(containerId: string, cgroup: string | undefined): void {
    if (cgroup === undefined || !existsSync(join(cgroup, MEMORY_EVENTS))) return;
    if (this.#watchers.has(containerId)) return;
    let seen = oomKills(cgroup);
    // The kernel notifies of each change of this file (cgroup v2, memory.events).
    const watcher = watch(join(cgroup, MEMORY_EVENTS), { persistent: false }, () => {
      const kills = oomKills(cgroup);
      if (kills > seen) this.#report(containerId);
      seen = kills;
    });
    // The cgroup goes with its container; then there is nothing more to see.
    watcher.on("error", () => this.unwatch(containerId));
    this.#watchers.set(containerId, watcher);
  }

  unwatch(containerId: string): void {
    this.#watchers.get(containerId)?.close();
    this.#watchers.delete(containerId);
  }

  /** Resolves to the id of the next container, or rejects once `signal` tells that nobody listens any more. */
  next(signal: AbortSignal): Promise<string> {
    const containerId = this.#pending.shift();
    if (containerId !== undefined) return Promise.resolve(containerId);
    return new Promise((resolve, reject) => {
      const taker = (id: string) => {
        signal.removeEventListener("abort", giveUp);
        resolve(id);
      };
      const giveUp = () => {
        this.#takers.splice(this.#takers.indexOf(taker), 1);
        reject(signal.reason);
      };
      signal.addEventListener("abort", giveUp, { once: true });
      this.#takers.push(taker);
    });
  }

  #report(containerId: string): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#pending.push(containerId);
    else taker(containerId);
  }
}
