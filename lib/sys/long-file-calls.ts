import { bindAsync } from "./libc.js";

/**
 * System calls of file.ts that may take as long as a disk needs, made on a thread of libuv's pool. Descriptors stay open, and memory that is
 * given by address stays where it is, until `done` is called; there {@link import("./libc.js").lastErrno} tells why a result is -1.
 */
type Fd = number;
type Address = number;

export const fsyncLater = bindAsync<[fd: Fd]>("int fsync(int fd)");
export const fdatasyncLater = bindAsync<[fd: Fd]>("int fdatasync(int fd)");
export const syncfsLater = bindAsync<[fd: Fd]>("int syncfs(int fd)");
export const fallocateLater = bindAsync<
  [fd: Fd, mode: number, offset: number | bigint, length: number | bigint]
>("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
/** The offsets are addresses of an int64_t each, which the call moves on. */
export const copyFileRangeLater = bindAsync<
  [from: Fd, fromOffset: Address, to: Fd, toOffset: Address, length: number, flags: number]
>(
  "int64_t copy_file_range(int from, uintptr_t fromOffset, int to, uintptr_t toOffset, size_t length, uint32_t flags)",
);
type Write = [fd: Fd, iovecs: Address, count: number, offset: number | bigint];
export const pwritevLater = bindAsync<Write>(
  "int64_t pwritev(int fd, uintptr_t iovecs, int count, int64_t offset)",
);
export const pwritev2Later = bindAsync<[...Write, flags: number]>(
  "int64_t pwritev2(int fd, uintptr_t iovecs, int count, int64_t offset, int flags)",
);
