import { closeSync, ftruncateSync, openSync } from "node:fs";
import { mapShared, viewOf } from "../lib/sys/mapping.js";
import { INPUT_BYTES_MAX } from "./mutate.js";

/** u32 number of inputs so far, u32 length of the last one, then its bytes. */
const COUNT = 0;
const LENGTH = 1;
const HEADER_BYTES = 8;
const RECORD_BYTES = HEADER_BYTES + INPUT_BYTES_MAX;

/**
 * The input that is being run, in a file that two processes map: what killed a process, or keeps it busy for ever, is known after all.
 * The file may be unlinked once both have it.
 */
export class FlightRecorder {
  readonly #words: Uint32Array;
  readonly #input: Uint8Array;

  /** @throws SysError, Error of node:fs */
  constructor(path: string) {
    const fd = openSync(path, "a+", 0o600);
    try {
      ftruncateSync(fd, RECORD_BYTES);
      const mapping = mapShared(fd, 0, RECORD_BYTES);
      this.#words = new Uint32Array(viewOf(mapping, 0, HEADER_BYTES));
      this.#input = new Uint8Array(viewOf(mapping, HEADER_BYTES, INPUT_BYTES_MAX));
    } finally {
      closeSync(fd);
    }
  }

  record(input: Uint8Array): void {
    this.#words[LENGTH] = input.length;
    this.#input.set(input);
    this.#words[COUNT] = (this.#words[COUNT] ?? 0) + 1;
  }

  /** Changes with each input. */
  get count(): number {
    return this.#words[COUNT] ?? 0;
  }

  get input(): Uint8Array {
    return this.#input.slice(0, this.#words[LENGTH]);
  }
}
