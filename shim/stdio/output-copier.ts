import type { Sink } from "./sink.js";

/**
 * Most bytes that one read of a guest's stream asks for. A read is a round trip, which costs more than its bytes do. With what goes
 * around it an answer fits the 256 KiB that the guest's vsock sends without being told of room: the last bytes would wait for that.
 */
const READ_SIZE_BYTES = 255 * 1024;

/** What a copier waits for; `done` after end of file, an error or {@link OutputCopier.close}. */
export type CopierState = "waits-for-guest" | "waits-for-client" | "done";

/** Copies one output stream of a guest's process to its sink until the stream ends. Starts at once. */
export class OutputCopier {
  /** Resolves when everything has been copied, or copying had to end; never rejects. */
  readonly finished: Promise<void>;
  /** Time of the last read or write that ended, by performance.now(). */
  lastProgressMs = performance.now();
  #isWriting = false;
  #isDone = false;
  /** Why copying ended before the end of the stream. */
  failure: unknown;

  /** @param read resolves with at most the given number of bytes; with none at end of file */
  constructor(
    read: (maxBytes: number) => Promise<Uint8Array>,
    readonly sink: Sink,
  ) {
    this.finished = this.#copy(read).then(
      () => this.close(),
      (error: unknown) => {
        if (!this.#isDone) this.failure = error;
        this.close();
      },
    );
  }

  get state(): CopierState {
    if (this.#isDone) return "done";
    return this.#isWriting ? "waits-for-client" : "waits-for-guest";
  }

  /** Ends the copying and closes the sink. */
  close(): void {
    this.#isDone = true;
    this.sink.close();
  }

  async #copy(read: (maxBytes: number) => Promise<Uint8Array>): Promise<void> {
    let written = Promise.resolve();
    try {
      while (!this.#isDone) {
        // The next read runs beside the last write; a second write never does, so memory stays at two chunks.
        const data = await read(READ_SIZE_BYTES);
        this.lastProgressMs = performance.now();
        await written;
        if (data.length === 0) return;
        written = this.#write(data);
      }
    } finally {
      await written;
    }
  }

  /** Never rejects: nobody awaits it before the next read has ended. A sink that fails ends the copying. */
  async #write(data: Uint8Array): Promise<void> {
    this.#isWriting = true;
    try {
      await this.sink.write(data);
    } catch (error) {
      if (!this.#isDone) this.failure = error;
      this.close();
    }
    this.#isWriting = false;
    this.lastProgressMs = performance.now();
  }
}
