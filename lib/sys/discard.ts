import { addressOf, bindLazily, check } from "./libc.js";

const madvise = bindLazily<(address: number, length: number, advice: number) => number>(
  "int madvise(uintptr_t address, size_t length, int advice)",
);

const MADV_DONTNEED = 4;
const PAGE_BYTES = 4096;

/**
 * Zeroes `byteLength` bytes of ordinary memory from `offset` on, and gives the whole pages among them back to the kernel until they are
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
  check(madvise(first, end - first, MADV_DONTNEED), "madvise", "MADV_DONTNEED");
}
