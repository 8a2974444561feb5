import { messageOf, ShimError, StatusCode } from "../error.js";
import type { Logger } from "../log/logger.js";
import type { LoggedProcess } from "../stdio/logging-binary.js";
import { type GuestStreams, ProcessIo, type StdioConfig } from "../stdio/process-io.js";
import { timeLimitMs } from "../time-limits.js";

/** Exit status of a process whose end nobody saw: its VM died, or it could not be started. */
export const UNKNOWN_EXIT_STATUS = 255;

const SIGKILL = 9;

/** `created` has not run; `stopped` has an exit; nothing leads back. */
export type ProcessStatus = "created" | "running" | "stopped";

/** How a process ended. */
export interface Exit {
  /** 0 to 255; 128 + n after signal n. */
  readonly status: number;
  readonly exitedAt: Date;
}

/** A process in the guest: a container's first one, or one that was added to it. */
export interface GuestProcess extends GuestStreams {
  start(): Promise<void>;
  /** @param all for a container's first process: every process of the container */
  signal(signal: number, all: boolean): Promise<void>;
  /**
   * Resolves with the exit status; rejects when the VM is lost.
   *
   * @param outputRead resolves when the output has been read to its end
   */
  wait(outputRead: Promise<void>): Promise<number>;
  resizePty(columns: number, rows: number): Promise<void>;
}

/** Hears of a process's life, in order: `started` strictly before `exited`, each at most once. */
export interface ProcessListener {
  started(): void;
  exited(exit: Exit): void;
}

/** The shim's record of one process, from Create or Exec until Delete. */
export class Process {
  readonly stdio: StdioConfig;
  readonly io: ProcessIo;
  /** Resolves with the exit, for any number of waiters, at any time; never rejects. */
  readonly exit: Promise<Exit>;
  readonly #name: string;
  readonly #guest: GuestProcess;
  readonly #listener: ProcessListener;
  readonly #logger: Logger;
  #status: ProcessStatus = "created";
  #exit: Exit | undefined;
  #resolveExit: (exit: Exit) => void = () => {};
  /** Settles with the one call of start(), whatever comes of it. */
  #starting: Promise<void> | undefined;
  /** The guest's process is gone, though its output may still be on the way. */
  #hasEnded = false;

  /**
   * @param name what messages call the process
   * @param owner what a logging binary is told of it
   */
  constructor(
    name: string,
    stdio: StdioConfig,
    guest: GuestProcess,
    listener: ProcessListener,
    owner: LoggedProcess,
    logger: Logger,
  ) {
    this.#name = name;
    this.stdio = stdio;
    this.#guest = guest;
    this.#listener = listener;
    this.#logger = logger;
    this.io = new ProcessIo(stdio, owner, logger);
    this.exit = new Promise((resolve) => {
      this.#resolveExit = resolve;
    });
  }

  get status(): ProcessStatus {
    return this.#status;
  }

  /** The exit of a stopped process. */
  get lastExit(): Exit | undefined {
    return this.#exit;
  }

  /**
   * Runs the process. One that cannot be started is stopped afterwards, with {@link UNKNOWN_EXIT_STATUS} and without events.
   *
   * @throws ShimError FAILED_PRECONDITION if it was started before; the guest's error if it cannot be started
   */
  async start(): Promise<void> {
    if (this.#starting !== undefined || this.#status !== "created") {
      throw new ShimError(
        StatusCode.FAILED_PRECONDITION,
        `${this.#name} has been started before; it is ${this.#status}`,
      );
    }
    const starting = this.#start();
    this.#starting = starting.catch(() => {});
    await starting;
  }

  async #start(): Promise<void> {
    try {
      await this.io.open();
      await this.#guest.start();
    } catch (error) {
      this.io.close();
      this.#stop({ status: UNKNOWN_EXIT_STATUS, exitedAt: new Date() });
      throw error;
    }
    this.#listener.started();
    if (this.#exit !== undefined) {
      // The VM was lost in between.
      this.#listener.exited(this.#exit);
      return;
    }
    this.#status = "running";
    this.io.attach(this.#guest);
    this.#watch();
  }

  /** Resolves when no start is under way; what came of it shows in {@link status}. */
  async startSettled(): Promise<void> {
    await this.#starting;
  }

  /** Lets nobody start a process that has not been started yet; without effect on any other. */
  retire(): void {
    if (this.#status === "created") this.#stop({ status: UNKNOWN_EXIT_STATUS, exitedAt: new Date() });
  }

  /**
   * Sends a signal. SIGKILL stops a process that was never started, too: its client may only delete what is stopped.
   *
   * @throws ShimError NOT_FOUND if the process has ended, FAILED_PRECONDITION if there is none yet
   */
  async kill(signal: number, all: boolean): Promise<void> {
    await this.startSettled();
    if (this.#hasEnded) throw this.#finishedError();
    if (this.#status === "created") {
      if (signal !== SIGKILL) throw this.#notStartedError();
      this.#stop({ status: 128 + SIGKILL, exitedAt: new Date() });
      return;
    }
    try {
      await this.#guest.signal(signal, all);
    } catch (error) {
      // It ended on its own while the signal was on its way.
      if (this.#hasEnded) throw this.#finishedError();
      throw error;
    }
  }

  /**
   * @throws ShimError FAILED_PRECONDITION if it does not run or has no terminal
   */
  async resizePty(columns: number, rows: number): Promise<void> {
    if (this.#status === "created") throw this.#notStartedError();
    if (!this.stdio.terminal) {
      throw new ShimError(StatusCode.FAILED_PRECONDITION, `${this.#name} has no terminal`);
    }
    // A window that changes while the process ends is of no interest to anybody.
    if (this.#hasEnded) return;
    await this.#guest.resizePty(columns, rows);
  }

  /** The VM is lost: whatever ran in it has ended. */
  lost(): void {
    // Nothing more will come out of it.
    void this.#end(UNKNOWN_EXIT_STATUS, 0);
  }

  #watch(): void {
    this.#guest.wait(this.io.outputRead(timeLimitMs("unreadOutputSeconds"))).then(
      (status) => this.#end(status, timeLimitMs("outputIdleSeconds")),
      (error: unknown) => {
        if (!this.#hasEnded) {
          this.#logger.warn(`lost sight of ${this.#name}`, { error: messageOf(error) });
        }
        return this.#end(UNKNOWN_EXIT_STATUS, timeLimitMs("outputIdleSeconds"));
      },
    );
  }

  /** The process has ended: reports it once the output is where its reader finds it. */
  async #end(status: number, drainIdleMs: number): Promise<void> {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const exitedAt = new Date();
    await this.io.drain(drainIdleMs);
    const wasStarted = this.#status === "running";
    const exit = { status, exitedAt };
    this.#stop(exit);
    if (wasStarted) this.#listener.exited(exit);
  }

  #stop(exit: Exit): void {
    if (this.#exit !== undefined) return;
    this.#status = "stopped";
    this.#hasEnded = true;
    this.#exit = exit;
    this.#resolveExit(exit);
  }

  #finishedError(): ShimError {
    return new ShimError(StatusCode.NOT_FOUND, `${this.#name}: process already finished: not found`);
  }

  #notStartedError(): ShimError {
    return new ShimError(StatusCode.FAILED_PRECONDITION, `${this.#name} has not been started`);
  }
}
