import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { createPipe } from "../../lib/sys/pipe.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import type { Logger } from "../log/logger.js";
import { timeLimitMs } from "../time-limits.js";
import { type Sink, StreamSink } from "./sink.js";
import type { BinaryTarget } from "./uri.js";

/** The process whose output is logged, as its logging binary is told. */
export interface LoggedProcess {
  readonly namespace: string;
  /** The container's id; of a process that was added to one, its exec id, as containerd's runc shim has it. */
  readonly id: string;
}

/**
 * A program that takes a process's output, by containerd's protocol for `binary://`: descriptor 3 is the output, 4 the errors, and it
 * closes 5 when it is ready. It finds whom it logs in CONTAINER_ID and CONTAINER_NAMESPACE, and nothing else in its environment.
 */
export class LoggingBinary {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly #child: ChildProcess;
  readonly #ready: Promise<void>;
  readonly #killAtExit = () => this.#child.kill("SIGTERM");

  constructor({ path, args }: BinaryTarget, { namespace, id }: LoggedProcess, logger: Logger) {
    const pipes = [createPipe(), createPipe(), createPipe()] as const;
    const [stdout, stderr, readiness] = pipes;
    this.stdout = new StreamSink(new Socket({ fd: stdout.writeFd, readable: false, writable: true }));
    this.stderr = new StreamSink(new Socket({ fd: stderr.writeFd, readable: false, writable: true }));
    const signal = new Socket({ fd: readiness.readFd, readable: true, writable: false });
    try {
      this.#child = spawn(path, args, {
        env: { CONTAINER_ID: id, CONTAINER_NAMESPACE: namespace },
        stdio: ["ignore", "ignore", "ignore", stdout.readFd, stderr.readFd, readiness.writeFd],
      });
    } catch (error) {
      for (const stream of [this.stdout, this.stderr]) stream.close();
      signal.destroy();
      throw error;
    } finally {
      for (const fd of [stdout.readFd, stderr.readFd, readiness.writeFd]) closeSync(fd);
    }
    this.#child.on("exit", (code, killedBy) => {
      process.off("exit", this.#killAtExit);
      if (code !== 0)
        logger.warn("a logging binary failed", { path, id, status: killedBy ?? code ?? "unknown" });
    });
    process.once("exit", this.#killAtExit);
    this.#ready = this.#becomesReady(path, signal);
    // Who waits for it gets the error; a process that is deleted before it starts has nobody who waits.
    this.#ready.catch(() => {});
  }

  /**
   * Resolves when the program takes output.
   *
   * @throws ShimError NOT_FOUND or UNKNOWN if it cannot be run, DEADLINE_EXCEEDED if it says nothing in time
   */
  ready(): Promise<void> {
    return this.#ready;
  }

  /** Gives the program its end of file; later, should it stay, SIGTERM as from runc's shim, and SIGKILL at last. */
  close(): void {
    this.stdout.close();
    this.stderr.close();
    const limitMs = timeLimitMs("loggerEndSeconds");
    for (const [kill, afterMs] of [["SIGTERM", limitMs / 2] as const, ["SIGKILL", limitMs] as const]) {
      const timer = setTimeout(() => this.#child.kill(kill), afterMs).unref();
      this.#child.once("exit", () => clearTimeout(timer));
    }
  }

  #becomesReady(path: string, signal: Socket): Promise<void> {
    const limitMs = timeLimitMs("loggerStartSeconds");
    return new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        const message = `logging binary ${path} has not closed its descriptor 5 within ${limitMs} ms`;
        reject(new ShimError(StatusCode.DEADLINE_EXCEEDED, message));
        signal.destroy();
      }, limitMs);
      this.#child.once("error", (error) => {
        const isMissing = "code" in error && error.code === "ENOENT";
        const code = isMissing ? StatusCode.NOT_FOUND : StatusCode.UNKNOWN;
        reject(new ShimError(code, `logging binary ${path}: ${messageOf(error)}`, { cause: error }));
        signal.destroy();
      });
      signal.once("data", () => signal.destroy());
      // Its end says the same as a byte does, so an error needs no other answer.
      signal.once("error", () => {});
      signal.once("close", () => {
        clearTimeout(timer);
        // A program that could not be run closes the pipe, too; its error has been reported by then.
        resolve();
      });
      signal.resume();
    });
  }
}
