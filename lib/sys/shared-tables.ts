import { mapShared, viewOf } from "./mapping.js";
import { createMemfd } from "./memfd.js";

const PAGE_BYTES = 4096;
/** Address space alone: what is never written takes no memory. */
const FILE_BYTES = 2 ** 36;

/** Where tables come from: zeroed memory, page by page. */
export type AllocateTable = (byteLength: number) => DataView;

/**
 * Tables in a file in memory that several processes map, one after another or at once. Each process asks for the same tables in the same order and
 * so finds them again.
 */
export class SharedTables {
  #usedBytes = 0;

  private constructor(
    readonly fd: number,
    /** Whether they were another process's before. */
    readonly isInherited: boolean,
  ) {}

  /** @throws SysError */
  static create(): SharedTables {
    return new SharedTables(createMemfd(FILE_BYTES), false);
  }

  /** @param fd the one that {@link create} made, in whatever process; taken over */
  static inherit(fd: number): SharedTables {
    return new SharedTables(fd, true);
  }

  /** The next table. It stays mapped as long as the process lives. @throws SysError */
  readonly allocate: AllocateTable = (byteLength) => {
    if (byteLength === 0) return new DataView(new ArrayBuffer(0));
    const offset = this.#usedBytes;
    const mapping = mapShared(this.fd, offset, byteLength);
    this.#usedBytes += Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES;
    return new DataView(viewOf(mapping, 0, byteLength));
  };
}

/**
 * Tables of this process alone. It is shared memory for V8 as well, which does not count that among what its garbage collector is to look
 * after.
 */
export const allocateOwn: AllocateTable = (byteLength) => new DataView(new SharedArrayBuffer(byteLength));
