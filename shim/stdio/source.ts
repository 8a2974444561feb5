import { closeSync, constants, createReadStream, fstatSync, openSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import type { StdioTarget } from "./uri.js";

/** Gives a process its input. */
export interface Source {
  /** Ends when every writer has closed the fifo, the shim's own included: see {@link releaseWriter}. */
  readonly stream: Readable;

  /**
   * From now on the fifo ends with its last writer. Until then the shim counts as one: a client that goes away, or a containerd
   * that restarts, must not look like the end of the input. CloseIO says when it is.
   */
  releaseWriter(): void;

  close(): void;
}

/**
 * Opens the target of stdin; undefined when there is none.
 *
 * @param readAheadBytes how much is read from it while the last piece is under way
 * @throws Error of open(2)
 */
export function openSource(target: StdioTarget, readAheadBytes: number): Source | undefined {
  if (target.kind !== "path") return undefined;
  const { path } = target;
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    if (!fstatSync(fd).isFIFO())
      return new StreamSource(createReadStream(path, { fd, highWaterMark: readAheadBytes }), undefined);
    const writerFd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    // Of stream.Duplex; the types of Socket's options do not tell of it.
    const options = { fd, readable: true, writable: false, highWaterMark: readAheadBytes };
    return new StreamSource(new Socket(options), writerFd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

class StreamSource implements Source {
  #writerFd: number | undefined;

  constructor(
    readonly stream: Readable,
    writerFd: number | undefined,
  ) {
    this.#writerFd = writerFd;
    // Whoever iterates the stream gets the error; without a listener it would end the process.
    stream.on("error", () => {});
  }

  releaseWriter(): void {
    if (this.#writerFd !== undefined) closeSync(this.#writerFd);
    this.#writerFd = undefined;
  }

  close(): void {
    this.releaseWriter();
    this.stream.destroy();
  }
}
