import { MARK_EDGE } from "./script.js";

/** A status has at most three digits. */
const STATUS_CHARACTERS_MAX = 3;

/**
 * Tells a command's output from what a shell says around it: it lies between the second mark TOKEN of script.ts and TOKEN:STATUS. Bytes pass as
 * they are.
 */
export class AnswerFilter {
  readonly #begin: Buffer;
  readonly #end: Buffer;
  /** What may be a part of a mark. */
  #pending: Buffer = Buffer.alloc(0);
  #phase: "introduction" | "script" | "output" | "after" = "introduction";

  /**
   * @param onReady the script may be sent
   * @param onBegin the command runs
   * @param onOutput gets the command's output
   * @param onEnd gets the command's status
   */
  constructor(
    token: string,
    private readonly onReady: () => void,
    private readonly onBegin: () => void,
    private readonly onOutput: (bytes: Buffer) => void,
    private readonly onEnd: (status: number) => void,
  ) {
    this.#begin = Buffer.from(`${MARK_EDGE}${token}${MARK_EDGE}`);
    this.#end = Buffer.from(`${MARK_EDGE}${token}:`);
  }

  push(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    if (this.#phase === "introduction" && this.#takeMark()) {
      this.#phase = "script";
      this.onReady();
    }
    if (this.#phase === "script" && this.#takeMark()) {
      this.#phase = "output";
      this.onBegin();
    }
    if (this.#phase === "output") this.#passOutput();
  }

  /** Drops everything up to the mark, and the mark. @returns whether it is there */
  #takeMark(): boolean {
    const at = this.#pending.indexOf(this.#begin);
    const end = at === -1 ? Math.max(0, this.#pending.length - this.#begin.length) : at + this.#begin.length;
    this.#pending = this.#pending.subarray(end);
    return at !== -1;
  }

  #passOutput(): void {
    const at = this.#pending.indexOf(this.#end);
    const isMark = at !== -1;
    this.#pass(isMark ? at : this.#pending.length - this.#partOfMark());
    if (!isMark) return;
    const [status = "", ...rest] = this.#statusText().split(MARK_EDGE);
    if (rest.length === 0) return;
    this.#phase = "after";
    this.onEnd(Number(status));
  }

  /** Behind a mark that {@link #pending} begins with. */
  #statusText(): string {
    const start = this.#end.length;
    return this.#pending.toString("latin1", start, start + STATUS_CHARACTERS_MAX + 1);
  }

  /** How many bytes at the end may be the beginning of a mark. */
  #partOfMark(): number {
    let length = Math.min(this.#end.length - 1, this.#pending.length);
    while (length > 0 && !this.#pending.subarray(-length).equals(this.#end.subarray(0, length))) length--;
    return length;
  }

  #pass(length: number): void {
    if (length > 0) this.onOutput(this.#pending.subarray(0, length));
    this.#pending = this.#pending.subarray(length);
  }
}
