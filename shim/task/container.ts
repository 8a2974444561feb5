import type { ContainerType } from "../container-type.js";
import { ShimError, StatusCode } from "../error.js";
import type { Process, ProcessStatus } from "./process.js";

/** The shim's record of one container: its first process and those that were added. */
export class Container {
  readonly #execs = new Map<string, Process>();
  #isPaused = false;

  constructor(
    readonly id: string,
    readonly bundle: string,
    readonly type: ContainerType,
    readonly init: Process,
  ) {}

  /** A paused container runs still: its processes stand where they were. */
  get isPaused(): boolean {
    return this.#isPaused && this.init.status === "running";
  }

  set isPaused(isPaused: boolean) {
    this.#isPaused = isPaused;
  }

  /** What messages call the state that it is in. */
  get condition(): ProcessStatus | "paused" {
    return this.isPaused ? "paused" : this.init.status;
  }

  /**
   * The process with an exec id; the first one for the empty id.
   *
   * @throws ShimError NOT_FOUND
   */
  process(execId: string): Process {
    if (execId === "") return this.init;
    const process = this.#execs.get(execId);
    if (process === undefined) {
      throw new ShimError(StatusCode.NOT_FOUND, `container ${this.id} has no process ${execId}: not found`);
    }
    return process;
  }

  /** @throws ShimError ALREADY_EXISTS */
  requireNewExecId(execId: string): void {
    if (this.#execs.has(execId)) {
      throw new ShimError(
        StatusCode.ALREADY_EXISTS,
        `container ${this.id} has a process ${execId}: already exists`,
      );
    }
  }

  addExec(execId: string, process: Process): void {
    this.#execs.set(execId, process);
  }

  removeExec(execId: string): void {
    this.#execs.delete(execId);
  }

  /** All of its processes, the added ones first: when the VM is lost they end before the one they belong to. */
  processes(): Process[] {
    return [...this.#execs.values(), this.init];
  }

  /** Closes the stdio of every process; the record is about to go. */
  close(): void {
    for (const process of this.processes()) process.io.close();
  }
}
