import { hasErrno } from "../../lib/sys/errno.js";
import { AgentError } from "../error.js";
import type { LaunchedProcess } from "./oci-runtime.js";
import type { ProcessIo } from "./process-io.js";

/** How long output may still come after the process has gone, as with the official agent. */
const DRAIN_MS = 500;

/** A process of a container: its init or one that ExecProcess added. */
export class ContainerProcess {
  readonly pid: number;
  readonly exited: Promise<number>;
  #hasExited = false;

  constructor(
    readonly execId: string,
    launched: LaunchedProcess,
    private readonly io: ProcessIo,
  ) {
    this.pid = launched.pid;
    this.exited = launched.exited.then((exitCode) => {
      this.#hasExited = true;
      io.stdout.limitPatience(DRAIN_MS);
      io.stderr?.limitPatience(DRAIN_MS);
      return exitCode;
    });
  }

  /** Sends a signal; a process that has gone is none to complain about. */
  signal(signal: number): void {
    if (this.#hasExited) return;
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      if (!hasErrno(error, "ESRCH")) throw error;
    }
  }

  /** Resolves once the process's pipe has taken `data`. Throws AgentError FAILED_PRECONDITION when it takes no more. */
  writeStdin(data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.io.stdin.write(data, (error) => {
        if (error) reject(new AgentError("FAILED_PRECONDITION", "stdin is closed", { cause: error }));
        else resolve();
      });
    });
  }

  closeStdin(): void {
    this.io.closeStdin();
  }

  /** As {@link import("./output-reader.js").OutputReader.read}. */
  readStdout(maxBytes: number): Promise<Buffer> {
    return this.io.stdout.read(maxBytes);
  }

  /** The same; a terminal has no such stream, which is as good as its end. */
  readStderr(maxBytes: number): Promise<Buffer> {
    return this.io.stderr?.read(maxBytes) ?? Promise.resolve(Buffer.alloc(0));
  }

  /** Throws AgentError FAILED_PRECONDITION without a terminal. */
  resize(rows: number, columns: number): void {
    if (this.io.resize === undefined) {
      throw new AgentError("FAILED_PRECONDITION", `process ${this.execId} has no terminal`);
    }
    if (!this.#hasExited) this.io.resize(rows, columns);
  }

  /** Drops its streams; what was not read is lost. */
  close(): void {
    this.io.close();
  }
}
