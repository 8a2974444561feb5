import { addressOf, bindLazily, check } from "./libc.js";

const O_CLOEXEC = 0o2000000;

const pipe2 = bindLazily<(fds: number, flags: number) => number>("int pipe2(uintptr_t fds, int flags)");

/**
 * A pipe of the kernel, close-on-exec. What Node calls a pipe to a child is a socket, which /proc/self/fd cannot open.
 *
 * @throws SysError
 */
export function createPipe(): { readonly readFd: number; readonly writeFd: number } {
  const fds = new Int32Array(2);
  check(pipe2(addressOf(fds), O_CLOEXEC), "pipe2");
  const [readFd = -1, writeFd = -1] = fds;
  return { readFd, writeFd };
}
