import { hasErrno } from "../../lib/sys/errno.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import type { Logger } from "../log/logger.js";
import { type LoggedProcess, LoggingBinary } from "./logging-binary.js";
import { OutputCopier } from "./output-copier.js";
import { openSink, type Sink } from "./sink.js";
import { openSource, type Source } from "./source.js";
import { parseStdio } from "./uri.js";

/** Most bytes that one write to a guest's stdin carries: it is a round trip, and fits the room that a guest's vsock offers. */
const WRITE_SIZE_BYTES = 255 * 1024;

/** The stdio values of Create and Exec: paths or URIs, empty for none. */
export interface StdioConfig {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  /** A terminal has one output stream, and the end of its input is not the end of the terminal. */
  readonly terminal: boolean;
}

/** The streams of a process in the guest. */
export interface GuestStreams {
  /** Resolves with no bytes at end of file. */
  readStdout(maxBytes: number): Promise<Uint8Array>;
  readStderr(maxBytes: number): Promise<Uint8Array>;
  /** Resolves with the number of bytes taken. */
  writeStdin(data: Uint8Array): Promise<number>;
  closeStdin(): Promise<void>;
}

/** The stdio of one process: opened and attached when the process is started, closed with its record. */
export class ProcessIo {
  readonly #config: StdioConfig;
  readonly #owner: LoggedProcess;
  readonly #logger: Logger;
  #source: Source | undefined;
  #stdout: Sink | undefined;
  #stderr: Sink | undefined;
  #binary: LoggingBinary | undefined;
  readonly #copiers: OutputCopier[] = [];
  #isStdinReleased = false;
  #isClosed = false;

  /** @param owner whose output it is */
  constructor(config: StdioConfig, owner: LoggedProcess, logger: Logger) {
    this.#config = config;
    this.#owner = owner;
    this.#logger = logger;
  }

  /**
   * Opens the ends that containerd's client waits for. Not before Start: until its Create or Exec has returned the client is not
   * ready to send CloseIO, and ctr would forget to when its input ended that early.
   *
   * @throws ShimError INVALID_ARGUMENT if a value cannot be served, NOT_FOUND or UNKNOWN if it cannot be opened, DEADLINE_EXCEEDED if
   *   a logging binary does not get ready
   */
  async open(): Promise<void> {
    const { stdin, stdout, stderr, terminal } = this.#config;
    try {
      this.#source = opened(stdin, () => openSource(parseStdio("stdin", stdin), WRITE_SIZE_BYTES));
      this.#stdout = opened(stdout, () => this.#openOutput("stdout", stdout));
      if (!terminal) this.#stderr = opened(stderr, () => this.#openOutput("stderr", stderr));
      await this.#binary?.ready();
    } catch (error) {
      this.close();
      throw error;
    }
    if (this.#isStdinReleased) this.#source?.releaseWriter();
  }

  /** Starts copying. The streams of a process that ends fail or end; both end the copying. */
  attach(streams: GuestStreams): void {
    this.#startOutput("stdout", this.#stdout, (maxBytes) => streams.readStdout(maxBytes));
    this.#startOutput("stderr", this.#stderr, (maxBytes) => streams.readStderr(maxBytes));
    if (this.#source !== undefined) void this.#copyInput(this.#source, streams);
  }

  /** CloseIO: the client has written all its input. What is in the fifo still reaches the process before its end of file. */
  closeStdin(): void {
    this.#isStdinReleased = true;
    this.#source?.releaseWriter();
  }

  /** Resolves when every output byte is in its fifo, or {@link close} was called. */
  async finished(): Promise<void> {
    await Promise.all(this.#copiers.map((copier) => copier.finished));
  }

  /** Resolves when the guest's output has been read to its end, or a client has read nothing of it for `unreadLimitMs`. */
  async outputRead(unreadLimitMs: number): Promise<void> {
    for (;;) {
      const open = this.#copiers.filter((copier) => copier.state !== "done");
      const isUnread = (copier: OutputCopier) =>
        copier.state === "waits-for-client" && performance.now() - copier.lastProgressMs >= unreadLimitMs;
      if (open.length === 0 || open.some(isUnread)) return;
      await settledWithin(this.finished(), unreadLimitMs);
    }
  }

  /**
   * After the process has exited: waits until all its output is copied, or nothing moves for `idleMs`. A stream that the guest
   * leaves open in silence is held by some other process, such as a daemon that the process started; it is closed. A stream
   * whose client does not read is left to go on.
   */
  async drain(idleMs: number): Promise<void> {
    for (;;) {
      const open = this.#copiers.filter((copier) => copier.state !== "done");
      const idleAtMs = Math.max(...open.map((copier) => copier.lastProgressMs)) + idleMs;
      const waitMs = idleAtMs - performance.now();
      if (open.length === 0) return;
      if (waitMs <= 0) {
        for (const copier of open) if (copier.state === "waits-for-guest") copier.close();
        return;
      }
      await settledWithin(this.finished(), waitMs);
    }
  }

  /** Closes everything; readers get their end of file. */
  close(): void {
    this.#isClosed = true;
    this.#source?.close();
    this.#stdout?.close();
    this.#stderr?.close();
    this.#binary?.close();
    for (const copier of this.#copiers) copier.close();
  }

  /** Output and errors that go to a logging binary go to one and the same, which is that of the output. */
  #openOutput(name: "stdout" | "stderr", value: string): Sink | undefined {
    const target = parseStdio(name, value);
    if (target.kind !== "binary") return openSink(target);
    this.#binary ??= new LoggingBinary(target, this.#owner, this.#logger);
    return this.#binary[name];
  }

  #startOutput(name: string, sink: Sink | undefined, read: (maxBytes: number) => Promise<Uint8Array>): void {
    if (sink === undefined) return;
    const copier = new OutputCopier(read, sink);
    this.#copiers.push(copier);
    void copier.finished.then(() => {
      if (copier.failure !== undefined) {
        this.#logger.debug(`${name} ended early`, { error: messageOf(copier.failure) });
      }
    });
  }

  async #copyInput(source: Source, streams: GuestStreams): Promise<void> {
    try {
      for await (const chunk of source.stream) {
        if (!(chunk instanceof Uint8Array)) throw new TypeError("stdin yields no bytes");
        await writeAll(chunk, streams);
      }
      if (!this.#config.terminal) await streams.closeStdin();
    } catch (error) {
      // The process has ended, or closed its stdin; the client learns it from the fifo's closing, as from a pipe.
      if (!this.#isClosed) this.#logger.debug("stdin ended early", { error: messageOf(error) });
    } finally {
      source.close();
    }
  }
}

async function writeAll(data: Uint8Array, streams: GuestStreams): Promise<void> {
  let offset = 0;
  while (offset < data.length) {
    const part = data.subarray(offset, offset + WRITE_SIZE_BYTES);
    const taken = await streams.writeStdin(part);
    if (!Number.isInteger(taken) || taken <= 0 || taken > part.length) {
      throw new RangeError(`the guest took ${taken} of ${part.length} bytes of stdin`);
    }
    offset += taken;
  }
}

function opened<T>(value: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (error instanceof ShimError) throw error;
    const isMissing = hasErrno(error, "ENOENT");
    throw new ShimError(
      isMissing ? StatusCode.NOT_FOUND : StatusCode.UNKNOWN,
      `stdio ${value}: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** Resolves when `promise` does, or after `timeoutMs`. */
async function settledWithin(promise: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([promise, timeout]);
  clearTimeout(timer);
}
