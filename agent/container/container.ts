import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { agent } from "../../proto/index.js";
import { AgentError } from "../error.js";
import { log } from "../log.js";
import {
  type RuntimeProcess,
  type RuntimeResources,
  type RuntimeSpec,
  stringifySpec,
} from "../oci/runtime-spec.js";
import { cgroupOf, freezeCgroup, isFrozen, killCgroup } from "./cgroup.js";
import { networkStats, readCgroupStats } from "./cgroup-stats.js";
import type { LaunchedProcess, LaunchIo, OciRuntime } from "./oci-runtime.js";
import { ContainerProcess } from "./process.js";
import { createPipeIo, type PendingIo } from "./process-io.js";
import { handlesSignal, SIGKILL, SIGTERM } from "./signals.js";

/** How long an added process stays known after somebody learnt its exit code, for others who ask, and readers behind. */
const FORGET_AFTER_MS = 10_000;

/** How long a process may take to stop: one waits for its system call, that for the host's disk. */
const FREEZE_LIMIT_MS = 10_000;
const FREEZE_POLL_MS = 2;

/** What a container is made of. */
export interface ContainerOptions {
  readonly id: string;
  /** The name of its init process, besides "". */
  readonly execId: string;
  readonly spec: RuntimeSpec;
  /** An existing directory of its own for the runtime's files. */
  readonly bundle: string;
}

/** A container of the OCI runtime and its processes, from creation to {@link remove}. */
export class Container {
  readonly #processes = new Map<string, ContainerProcess>();
  /** Processes whose exit code was told: their names are free again. */
  readonly #finished = new WeakSet<ContainerProcess>();
  /** Names of processes that are being added. */
  readonly #launching = new Set<string>();
  #removal: Promise<void> | undefined;

  private constructor(
    private readonly runtime: OciRuntime,
    private readonly options: ContainerOptions,
    readonly init: ContainerProcess,
    /** Where its processes are counted; undefined when it shares the root cgroup. */
    readonly cgroup: string | undefined,
  ) {
    this.#processes.set(options.execId, init);
  }

  /** Makes the container up to the point where its program would begin. Leaves nothing when it throws. */
  static async create(runtime: OciRuntime, options: ContainerOptions): Promise<Container> {
    const { id, bundle, spec } = options;
    writeFileSync(join(bundle, "config.json"), stringifySpec(spec));
    const io = await createIo(runtime, spec.process?.terminal ?? false);
    const launched = await launch(io, (launchIo) => runtime.create(id, bundle, launchIo));
    try {
      const init = new ContainerProcess(options.execId || id, launched, io.connect());
      return new Container(runtime, options, init, cgroupOf(launched.pid));
    } catch (error) {
      await runtime.delete(id);
      throw error;
    }
  }

  get id(): string {
    return this.options.id;
  }

  /** Lets the program begin. */
  async start(): Promise<void> {
    await this.runtime.start(this.id);
  }

  /**
   * Adds a process. One without capabilities of its own gets those of the container's init.
   *
   * @throws AgentError ALREADY_EXISTS for an exec id in use, or why the runtime could not start it.
   */
  async exec(execId: string, wanted: RuntimeProcess): Promise<void> {
    const namesake = this.#processes.get(execId);
    const isTaken = namesake !== undefined && !this.#finished.has(namesake);
    if (isTaken || this.#launching.has(execId)) {
      throw new AgentError("ALREADY_EXISTS", `process ${execId} of container ${this.id} exists`);
    }
    const capabilities = wanted.capabilities ?? this.options.spec.process?.capabilities;
    const process = capabilities === undefined ? wanted : { ...wanted, capabilities };
    const processFile = this.runtime.scratchPath("process");
    this.#launching.add(execId);
    writeFileSync(processFile, stringifySpec(process));
    try {
      const io = await createIo(this.runtime, process.terminal);
      const launched = await launch(io, (launchIo) => this.runtime.exec(this.id, processFile, launchIo));
      this.#processes.set(execId, new ContainerProcess(execId, launched, io.connect()));
      namesake?.close();
    } finally {
      this.#launching.delete(execId);
      rmSync(processFile, { force: true });
    }
  }

  /** The process `execId`, or the init for "". Throws AgentError NOT_FOUND. */
  process(execId: string): ContainerProcess {
    const process = execId === "" ? this.init : this.#processes.get(execId);
    if (process === undefined) {
      throw new AgentError("NOT_FOUND", `process ${execId} of container ${this.id} not found`);
    }
    return process;
  }

  /**
   * The exit code of a process, for any number of callers. The init stays known until the container is removed, others for a
   * while after their exit code was told first.
   */
  async wait(execId: string): Promise<number> {
    const process = this.process(execId);
    const exitCode = await process.exited;
    if (process !== this.init) this.#forgetSoon(process);
    return exitCode;
  }

  /** Sends a signal as the protocol wants it: SIGKILL without exec id is for every process of the container. */
  signal(execId: string, signal: number): void {
    if (execId === "" && signal === SIGKILL) {
      this.killAll();
      return;
    }
    const process = this.process(execId);
    // The kernel drops what an init has no handler for, and a container that cannot be told to stop never would.
    const isLost = process === this.init && signal === SIGTERM && !handlesSignal(process.pid, signal);
    process.signal(isLost ? SIGKILL : signal);
  }

  /** Ends every process of the container. */
  killAll(): void {
    if (this.cgroup !== undefined) killCgroup(this.cgroup);
    for (const process of this.#processes.values()) process.signal(SIGKILL);
  }

  /**
   * Stops every process, and waits until none runs any more.
   *
   * @throws AgentError FAILED_PRECONDITION without a cgroup, INTERNAL when a process does not stop; then all go on
   */
  async pause(): Promise<void> {
    const cgroup = this.#requireCgroup();
    freezeCgroup(cgroup, true);
    const deadline = performance.now() + FREEZE_LIMIT_MS;
    while (!isFrozen(cgroup)) {
      if (performance.now() > deadline) {
        freezeCgroup(cgroup, false);
        throw new AgentError("INTERNAL", `container ${this.id} does not stop within ${FREEZE_LIMIT_MS} ms`);
      }
      await delay(FREEZE_POLL_MS);
    }
  }

  /** Has every process go on. Throws AgentError FAILED_PRECONDITION without a cgroup. */
  resume(): void {
    freezeCgroup(this.#requireCgroup(), false);
  }

  /** What its processes have used. Throws AgentError FAILED_PRECONDITION without a cgroup. */
  stats(): agent.StatsContainerResponse.$Properties {
    const cgroup_stats = readCgroupStats(this.#requireCgroup());
    // The guest's network is its containers'.
    return { cgroup_stats, network_stats: networkStats(readFileSync("/proc/net/dev", "utf8")) };
  }

  /** Changes its limits. */
  async update(resources: RuntimeResources): Promise<void> {
    const file = this.runtime.scratchPath("resources");
    writeFileSync(file, stringifySpec(resources));
    try {
      await this.runtime.update(this.id, file);
    } finally {
      rmSync(file, { force: true });
    }
  }

  /**
   * Kills what runs, waits for the end of the init, and has the runtime forget the container. Who asks again waits for the same
   * end; after a failure it is tried anew.
   */
  async remove(): Promise<void> {
    this.#removal ??= this.#remove();
    try {
      await this.#removal;
    } catch (error) {
      this.#removal = undefined;
      throw error;
    }
  }

  async #remove(): Promise<void> {
    this.killAll();
    await this.init.exited;
    await this.runtime.delete(this.id);
    for (const process of this.#processes.values()) process.close();
    this.#processes.clear();
  }

  #requireCgroup(): string {
    if (this.cgroup !== undefined) return this.cgroup;
    throw new AgentError("FAILED_PRECONDITION", `container ${this.id} has no cgroup of its own`);
  }

  #forgetSoon(process: ContainerProcess): void {
    if (this.#finished.has(process)) return;
    this.#finished.add(process);
    const forget = () => {
      if (this.#processes.get(process.execId) === process) this.#processes.delete(process.execId);
      process.close();
    };
    setTimeout(forget, FORGET_AFTER_MS).unref();
  }
}

async function createIo(runtime: OciRuntime, terminal: boolean): Promise<PendingIo> {
  if (!terminal) return createPipeIo();
  // Most containers have none, and what they need of it costs time when a guest starts.
  const { createTerminalIo } = await import("./terminal-io.js");
  return createTerminalIo(runtime.scratchPath("console"));
}

async function launch(
  io: PendingIo,
  start: (launchIo: LaunchIo) => Promise<LaunchedProcess>,
): Promise<LaunchedProcess> {
  try {
    return await start(io.launchIo);
  } catch (error) {
    io.abandon();
    log("debug", "process not launched", { error });
    throw error;
  }
}
