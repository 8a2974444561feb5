import { withoutStructures } from "../log/secrets.js";

/** What Linux says of its own end, and of what usually comes before. */
const TELLING = /Kernel panic - not syncing|Out of memory: Killed process|BUG: |Oops: /;

/** How much of the guest's console is kept. */
export const CONSOLE_BYTES = 64 * 1024;

/** The end of what a stream said, in bounded memory. */
export class TailBuffer {
  readonly #bytes: Buffer;
  #written = 0;

  constructor(capacityBytes: number) {
    this.#bytes = Buffer.alloc(capacityBytes);
  }

  append(chunk: Uint8Array): void {
    const capacity = this.#bytes.length;
    const kept = chunk.subarray(Math.max(0, chunk.length - capacity));
    this.#written += chunk.length - kept.length;
    const offset = this.#written % capacity;
    const first = kept.subarray(0, capacity - offset);
    this.#bytes.set(first, offset);
    this.#bytes.set(kept.subarray(first.length), 0);
    this.#written += kept.length;
  }

  /** All that is kept, the oldest first. A character that was cut in half becomes U+FFFD. */
  toString(): string {
    return this.#kept().toString("utf8");
  }

  /** How many bytes have ever come. */
  get end(): number {
    return this.#written;
  }

  /** What has come since {@link end} was `offset`, as far as it is kept. */
  since(offset: number): string {
    const wanted = Math.max(0, this.#written - offset);
    const kept = this.#kept();
    return kept.toString("utf8", Math.max(0, kept.length - wanted));
  }

  /** The last `count` lines that are not blank, without what only a terminal understands. */
  lastLines(count: number): string[] {
    return this.#lines().slice(-count);
  }

  /** As {@link lastLines}, before them the last line with a kernel's words of what is wrong, which a dump of registers may have pushed away. */
  tellingLines(count: number): string[] {
    const lines = this.#lines();
    const telling = lines.findLastIndex((line) => TELLING.test(line));
    const rest = lines.slice(-count);
    return telling === -1 || telling >= lines.length - count ? rest : [lines[telling] ?? "", "…", ...rest];
  }

  #kept(): Buffer {
    const capacity = this.#bytes.length;
    if (this.#written <= capacity) return this.#bytes.subarray(0, this.#written);
    const offset = this.#written % capacity;
    return Buffer.concat([this.#bytes.subarray(offset), this.#bytes.subarray(0, offset)]);
  }

  #lines(): string[] {
    return withoutStructures(this.toString())
      .replaceAll(ESCAPE_SEQUENCE, "")
      .split(/[\r\n]+/)
      .map((line) => line.replaceAll(/\p{Cc}/gu, "").trimEnd())
      .filter((line) => line !== "");
  }
}

const ESC = "\u001b";
const BEL = "\u0007";

/** Escape sequences of ECMA-48: control sequences (5.4), operating system commands (8.3.89), and those of one character. */
const ESCAPE_SEQUENCE = new RegExp(
  `${ESC}(?:\\[[0-?]*[ -/]*[@-~]|\\][^${BEL}${ESC}]*(?:${BEL}|${ESC}\\\\)?|[ -/]*[0-~])`,
  "g",
);
