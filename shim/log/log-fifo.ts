import { closeSync, constants, openSync, writeSync } from "node:fs";
import { Writable } from "node:stream";

/** How long a fifo that nobody reads is left alone before it is tried again. */
const RETRY_AFTER_MS = 1_000;

/**
 * The bundle's `log` fifo, which containerd copies to its own log. A log line is worth less than the shim's progress: what
 * the fifo does not take at once (nobody reads, or the reader is slow) is dropped, and the next line that passes is
 * preceded by the number of lines lost.
 */
export class LogFifo extends Writable {
  #fd: number | undefined;
  #retryAtMs = 0;
  #droppedLines = 0;

  constructor(readonly path: string) {
    super({ decodeStrings: true });
  }

  override _write(line: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#droppedLines > 0) {
      const notice = `time="${new Date().toISOString()}" level=warning msg="${this.#droppedLines} log lines lost"\n`;
      if (this.#writeNow(Buffer.from(notice))) this.#droppedLines = 0;
    }
    if (!this.#writeNow(line)) this.#droppedLines++;
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#close();
    done(error);
  }

  #writeNow(line: Buffer): boolean {
    const nowMs = Date.now();
    if (this.#fd === undefined && nowMs < this.#retryAtMs) return false;
    try {
      this.#fd ??= openSync(this.path, constants.O_WRONLY | constants.O_NONBLOCK);
      return writeSync(this.#fd, line) === line.length;
    } catch (error) {
      // EAGAIN: the fifo is full, and its reader may still catch up. Anything else (EPIPE: containerd went away; ENXIO: it is
      // not back yet; ENOENT: the bundle is gone) needs the fifo opened anew. There is nowhere to report it to.
      const isFull = error instanceof Error && "code" in error && error.code === "EAGAIN";
      if (!isFull) {
        this.#close();
        this.#retryAtMs = nowMs + RETRY_AFTER_MS;
      }
      return false;
    }
  }

  #close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
