import { StringDecoder } from "node:string_decoder";

/** Of a longer line the rest is left out: a guest may write what it likes. */
export const LINE_CHARACTERS_MAX = 4096;

/** Cuts a stream of UTF-8 into its lines, in bounded memory. */
export class LineSplitter {
  readonly #decoder = new StringDecoder("utf8");
  #line = "";
  #isCut = false;

  /** @param onLine gets each line that is not blank, without its end */
  constructor(private readonly onLine: (line: string) => void) {}

  push(chunk: Buffer): void {
    const [first = "", ...others] = this.#decoder.write(chunk).split("\n");
    this.#append(first);
    for (const part of others) {
      this.#finish();
      this.#append(part);
    }
  }

  #append(part: string): void {
    const room = LINE_CHARACTERS_MAX - this.#line.length;
    this.#line += part.slice(0, room);
    if (part.length > room) this.#isCut = true;
  }

  #finish(): void {
    const line = this.#line.trimEnd();
    if (line !== "") this.onLine(this.#isCut ? `${line}…` : line);
    this.#line = "";
    this.#isCut = false;
  }
}
