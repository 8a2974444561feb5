import { AT_FDCWD, close, O_CLOEXEC, O_DIRECTORY, O_PATH, openat } from "../../lib/sys/file.js";
import { addressOf, check } from "../../lib/sys/libc.js";

let prefix = "/proc/self/fd/";
const DIGIT_ZERO = 0x30;

/**
 * For a process whose root directory has no procfs, or one that the guest put there, and whose working directory is that of its
 * descriptors: they are found there from now on.
 */
export function findDescriptorsInWorkingDirectory(): void {
  prefix = "./";
}

/**
 * Paths of this process's own descriptors in procfs: the way from an O_PATH descriptor to the object itself, for calls that
 * take only a path or that need a descriptor with rights. The kernel goes straight to the object; a symbolic link that
 * the descriptor refers to is not followed.
 */
export class ProcPath {
  /** Descriptor of /proc/self/fd: {@link name} is relative to it. */
  readonly dir: number;
  readonly #bytes = new Uint8Array(32);
  readonly #address = addressOf(this.#bytes);
  readonly #prefixBytes = prefix.length;

  /** @throws SysError without procfs */
  constructor() {
    this.#bytes.set(Buffer.from(prefix));
    this.dir = check(openat(AT_FDCWD, this.#address, O_PATH | O_DIRECTORY | O_CLOEXEC, 0), "open", prefix);
  }

  /** Address of the whole path, good until the next call. */
  path(fd: number): number {
    let length = 1;
    for (let rest = fd; rest >= 10; rest = Math.floor(rest / 10)) length++;
    let rest = fd;
    for (let index = this.#prefixBytes + length - 1; index >= this.#prefixBytes; index--) {
      this.#bytes[index] = DIGIT_ZERO + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    this.#bytes[this.#prefixBytes + length] = 0;
    return this.#address;
  }

  /** Address of the name in {@link dir}, good until the next call. */
  name(fd: number): number {
    return this.path(fd) + this.#prefixBytes;
  }

  close(): void {
    close(this.dir);
  }
}
