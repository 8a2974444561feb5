import { closeSync, constants, createWriteStream, fstatSync, mkdirSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { dirname } from "node:path";
import type { Writable } from "node:stream";
import type { BinaryTarget, StdioTarget } from "./uri.js";

/** Takes a process's output. */
export interface Sink {
  /**
   * Resolves when the bytes are in the fifo or file; a fifo that is full makes the caller wait, without a thread. Rejects when
   * the sink is closed meanwhile. One write at a time.
   */
  write(data: Uint8Array): Promise<void>;

  /** Gives readers their end of file. What has not been written by now is dropped. */
  close(): void;
}

/**
 * Opens the target of stdout or stderr; undefined when there is none.
 *
 * @throws Error of open(2)
 */
export function openSink(target: Exclude<StdioTarget, BinaryTarget>): Sink | undefined {
  switch (target.kind) {
    case "none":
      return undefined;
    case "log-file":
      mkdirSync(dirname(target.path), { recursive: true });
      return new StreamSink(createWriteStream(target.path, { fd: openSync(target.path, "a", 0o644) }));
    case "path":
      return new StreamSink(openPath(target.path));
  }
}

/**
 * A fifo is opened for reading, too. That way the open neither waits for a reader nor fails without one, and a containerd
 * that restarts, and so closes its end for a while, breaks nothing: the bytes wait.
 */
function openPath(path: string): Writable {
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    if (fstatSync(fd).isFIFO()) return new Socket({ fd, readable: false, writable: true });
    return createWriteStream(path, { fd });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** What is written goes to a stream of Node's. */
export class StreamSink implements Sink {
  readonly #stream: Writable;
  #failure: Error | undefined;

  constructor(stream: Writable) {
    this.#stream = stream;
    // The error that matters is the one that write() reports.
    stream.on("error", (error) => {
      this.#failure = error;
    });
  }

  write(data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#stream.write(data, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): void {
    this.#stream.destroy();
  }
}
