import { addressOf } from "../../lib/sys/libc.js";
import type { NameSource } from "./inode-locators.js";

/** NAME_MAX and a NUL. */
const BYTES = 256;

/** A place for one name that does not come from a request. */
export class NameBuffer implements NameSource {
  readonly bytes = Buffer.alloc(BYTES);
  readonly address = addressOf(this.bytes);

  /** Puts a name here, one character for each byte, at offset 0. */
  put(name: string): this {
    const length = this.bytes.write(name, 0, BYTES - 1, "latin1");
    this.bytes[length] = 0;
    return this;
  }
}
