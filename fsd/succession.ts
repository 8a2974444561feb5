import { closeSync, openSync, writeSync } from "node:fs";
import { KeptDescriptors, keepDescriptors } from "../lib/sys/descriptor-keeper.js";
import { openPidfd, waitForEnd } from "../lib/sys/pidfd.js";
import { SharedTables } from "../lib/sys/shared-tables.js";
import { DeviceMemory } from "./device-memory.js";
import type { DeviceOptions } from "./options/device-options.js";
import type { Repaired } from "./passthrough/repair.js";
import { STATE_VERSION } from "./state.js";

/**
 * Descriptors that one worker leaves to the next have numbers from here on, and those that each has of its own at its start have lower
 * ones: so the same numbers mean the same in both, in tables and in messages.
 */
const FIRST_LEFT_FD = 96;

/** The first table: what makes sure that the rest can be read, and descriptors that are no device's. */
const HEADER = { magic: 0, version: 4, count: 8, descriptors: 16, bytes: 4096 } as const;
const MAGIC = 0x6b66_7364;

/** Asks a worker to end between two requests, for another one that is about to go on. */
export const YIELD_SIGNAL = "SIGUSR2";
/** It may serve a request that takes long, such as a map that QEMU has to make. */
const YIELD_LIMIT_MS = 20_000;

/** The state is not one that this worker can go on with, or the worker before does not let go of it. */
export class SuccessionError extends Error {
  override readonly name = "SuccessionError";
}

/** Of each device: its memory, and what was found in it, if another worker has left it. */
export interface LeftDevice {
  readonly memory: DeviceMemory;
  readonly repaired: Repaired | undefined;
}

/**
 * What a worker of the daemon leaves to the one that comes after it, should it die: tables in a file in memory, and open descriptors in
 * a process that does nothing but keep them. The launcher watches the worker and starts the next; see docs/reliability.md.
 */
export class Succession {
  readonly devices: readonly LeftDevice[];
  readonly #tables: SharedTables;
  readonly #header: DataView;
  readonly #predecessor: number | undefined;
  /** When the worker before was asked to end; undefined if it had ended. */
  #askedMs: number | undefined;

  /**
   * @param left what the launcher says of the worker before: the process that keeps its descriptors, and the number of the tables' one;
   * empty for the first worker
   * @param living the process of the worker before, if it still serves: it is asked to end once it is sure that this one can go on
   * @throws SuccessionError before anything is taken over; SysError, VirtqueueError
   */
  constructor(left: string, devices: readonly DeviceOptions[], living?: number) {
    const [keeper, tablesFd] = left.split(" ").map(Number);
    if (keeper === undefined || tablesFd === undefined) {
      reserveLowDescriptors();
      this.#tables = SharedTables.create();
      this.#header = this.#tables.allocate(HEADER.bytes);
      this.#header.setUint32(HEADER.magic, MAGIC, true);
      this.#header.setUint32(HEADER.version, STATE_VERSION, true);
      this.devices = devices.map((options) => {
        return { memory: new DeviceMemory(options, this.#tables.allocate), repaired: undefined };
      });
      return;
    }
    this.#predecessor = keeper;
    const kept = KeptDescriptors.of(keeper);
    try {
      reserveLowDescriptors();
      kept.take(tablesFd);
      this.#tables = SharedTables.inherit(tablesFd);
      this.#header = this.#tables.allocate(HEADER.bytes);
      this.#check();
      if (living !== undefined) this.#succeed(living);
      const memories = devices.map((options) => new DeviceMemory(options, this.#tables.allocate));
      const named = [...this.descriptors, ...memories.flatMap((memory) => memory.descriptors())];
      const missing = new Set([...new Set(named)].filter((fd) => !kept.take(fd)));
      this.devices = memories.map((memory) => ({
        memory,
        repaired: memory.isConnected ? memory.repair((fd) => missing.has(fd)) : undefined,
      }));
    } finally {
      kept.close();
    }
  }

  /** Whether another worker was there before. */
  get isInherited(): boolean {
    return this.#predecessor !== undefined;
  }

  /** Descriptors of the daemon as a whole, in an order that all workers agree on; behind those that were set is one of no further use. */
  get descriptors(): number[] {
    const count = this.#header.getUint32(HEADER.count, true);
    return Array.from({ length: count }, (_, index) =>
      this.#header.getInt32(HEADER.descriptors + 4 * index, true),
    );
  }
  set descriptors(fds: readonly number[]) {
    // What is mounted below the shared directories stays mounted there as long as the namespace is open.
    const namespaceFd = openSync("/proc/self/ns/mnt", "r");
    for (const [index, fd] of [...fds, namespaceFd].entries())
      this.#header.setInt32(HEADER.descriptors + 4 * index, fd, true);
    this.#header.setUint32(HEADER.count, fds.length + 1, true);
  }

  /** All descriptors that were left, of directories among others. */
  get left(): number[] {
    return this.devices.flatMap(({ memory }) => memory.descriptors());
  }

  /**
   * From now on this worker may die. Tells the launcher so, and lets go of what was kept of the one before.
   * @param launcherFd closed
   * @throws SysError
   */
  provide(launcherFd: number): void {
    const keeper = keepDescriptors();
    writeSync(launcherFd, `keeper ${keeper} ${this.#tables.fd}\n`);
    closeSync(launcherFd);
    // That number is free now, and maybe others are.
    reserveLowDescriptors();
    if (this.#predecessor !== undefined) process.kill(this.#predecessor, "SIGKILL");
  }

  /** How long nobody has served so far, in milliseconds; undefined if that is not known. */
  get pauseMs(): number | undefined {
    return this.#askedMs === undefined ? undefined : performance.now() - this.#askedMs;
  }

  #succeed(living: number): void {
    const pidfd = openPidfd(living);
    this.#askedMs = performance.now();
    process.kill(living, YIELD_SIGNAL);
    if (!waitForEnd(pidfd, YIELD_LIMIT_MS))
      throw new SuccessionError(`the worker before has not ended within ${YIELD_LIMIT_MS} ms`);
  }

  #check(): void {
    if (this.#header.getUint32(HEADER.magic, true) !== MAGIC)
      throw new SuccessionError("this is no state of a worker");
    const version = this.#header.getUint32(HEADER.version, true);
    if (version === STATE_VERSION) return;
    throw new SuccessionError(
      `the state is of version ${version}, and this worker goes on with version ${STATE_VERSION} only`,
    );
  }
}

/** Whatever is opened from now on, and is not closed soon, has a number that the next worker has free. */
function reserveLowDescriptors(): void {
  for (;;) {
    const fd = openSync("/dev/null", "r");
    if (fd < FIRST_LEFT_FD) continue;
    closeSync(fd);
    return;
  }
}
