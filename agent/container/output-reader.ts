import type { Readable } from "node:stream";

/**
 * Patience is counted in slices: between two of them the event loop looks for output. A single timer would be due at once after a
 * stall of the whole machine, before anybody has looked.
 */
const PATIENCE_SLICES = 10;

/** What reads answer at the end of the output. */
const END = Buffer.alloc(0);

/**
 * Output of a process, read on demand: what nobody asks for stays in the pipe, and the process waits, as it should. Reads
 * are answered in any order of completion, each byte once.
 */
export class OutputReader {
  #ended = false;
  /** Set when the process has exited: how long a read waits for data that may still come. */
  #patienceMs: number | undefined;
  readonly #wakeups = new Set<() => void>();

  /** Takes over `stream`, which must be in no one else's hands and not flow. */
  constructor(private readonly stream: Readable) {
    const wake = () => {
      for (const wakeup of [...this.#wakeups]) wakeup();
    };
    const end = () => {
      this.#ended = true;
      wake();
    };
    stream.on("readable", wake);
    stream.on("end", end);
    stream.on("close", end);
    // An error ends the output as well.
    stream.on("error", end);
  }

  /** Whether everything has been read. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Up to `maxBytes` bytes, at least one, as soon as there are any; none at the end. */
  async read(maxBytes: number): Promise<Buffer> {
    for (;;) {
      const chunk = this.#take(maxBytes);
      if (chunk !== undefined) return chunk;
      if (this.#ended) return END;
      if (!(await this.#moreWithin(this.#patienceMs))) {
        this.close();
        return END;
      }
    }
  }

  /**
   * From now on a read waits at most `patienceMs` for data, then the output counts as ended: the process is gone, and a
   * child of its own that holds the pipe open must not keep everybody waiting.
   */
  limitPatience(patienceMs: number): void {
    this.#patienceMs = patienceMs;
    for (const wakeup of [...this.#wakeups]) wakeup();
  }

  /** Ends the output; what was not read is lost. */
  close(): void {
    this.#ended = true;
    this.stream.destroy();
  }

  #take(maxBytes: number): Buffer | undefined {
    const length = Math.min(maxBytes, this.stream.readableLength);
    // With nothing buffered, read(0) makes the stream look for data.
    const chunk: unknown = this.stream.read(length);
    return Buffer.isBuffer(chunk) && chunk.length > 0 ? chunk : undefined;
  }

  /** Resolves to true when something changed, to false when nothing did in time. */
  #moreWithin(patienceMs: number | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const done = (changed: boolean) => {
        clearTimeout(timer);
        this.#wakeups.delete(wakeup);
        resolve(changed);
      };
      const wakeup = () => done(true);
      this.#wakeups.add(wakeup);
      if (patienceMs === undefined) return;
      const waitOn = (slices: number) => {
        if (slices === 0) done(false);
        else timer = setTimeout(waitOn, patienceMs / PATIENCE_SLICES, slices - 1);
      };
      waitOn(PATIENCE_SLICES);
    });
  }
}
