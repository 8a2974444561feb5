import { addressOf, bindLazily } from "./libc.js";

// The C library has no function for it before glibc 2.42 or so.
const syscall = bindLazily<(number: number, dir: number, path: number, how: number, size: number) => number>(
  "int64_t syscall(int64_t number, int64_t dir, uintptr_t path, uintptr_t how, size_t size)",
);

const SYS_openat2 = 437;
const OPEN_HOW_BYTES = 24;

export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;

/**
 * openat2(2), Linux 5.6: opens `path`, NUL-terminated bytes, with restrictions on the way to it.
 * @returns a descriptor, or -1 with errno set
 */
export function openat2(dir: number, path: Uint8Array, flags: number, resolve: number): number {
  const how = new DataView(new ArrayBuffer(OPEN_HOW_BYTES));
  how.setUint32(0, flags, true);
  how.setUint32(16, resolve, true);
  return syscall(SYS_openat2, dir, addressOf(path), addressOf(how), OPEN_HOW_BYTES);
}
