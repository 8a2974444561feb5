import { Errno } from "./errno.js";
import { addressOf, bindLazily, check, lastErrno } from "./libc.js";

const madvise = bindLazily<(address: number, length: number, advice: number) => number>(
  "int madvise(uintptr_t address, size_t length, int advice)",
);

const MADV_DONTNEED = 4;
/** For memory that is mapped from a file in memory: takes the pages out of the file. */
const MADV_REMOVE = 9;
const PAGE_BYTES = 4096;

/**
 * Zeroes `byteLength` bytes of ordinary memory, or of a mapping of a memfd, from `offset` on, and gives the whole pages among them back to the kernel until they are
 * written again.
 * @throws SysError
 */
export function discard(memory: DataView | Int32Array, offset: number, byteLength: number): void {
  const address = addressOf(memory) + offset;
  const first = Math.ceil(address / PAGE_BYTES) * PAGE_BYTES;
  const end = Math.floor((address + byteLength) / PAGE_BYTES) * PAGE_BYTES;
  const bytes = new Uint8Array(memory.buffer, memory.byteOffset + offset, byteLength);
  if (first >= end) {
    bytes.fill(0);
    return;
  }
  bytes.fill(0, 0, first - address);
  bytes.fill(0, end - address);
  if (madvise(first, end - first, MADV_REMOVE) === 0) return;
  // Ordinary memory is not a file's.
  if (lastErrno() !== Errno.EINVAL) check(-1, "madvise", "MADV_REMOVE");
  check(madvise(first, end - first, MADV_DONTNEED), "madvise", "MADV_DONTNEED");
}
