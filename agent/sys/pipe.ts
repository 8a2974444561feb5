import { bindLazily, check } from "../../lib/sys/libc.js";

const O_CLOEXEC = 0o2000000;

const pipe2 = bindLazily<(fds: Int32Array, flags: number) => number>("int pipe2(void *fds, int flags)");

/** Both ends are close-on-exec and blocking. */
export interface PipeEnds {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** pipe2(2). */
export function openPipe(): PipeEnds {
  const fds = new Int32Array(2);
  check(pipe2(fds, O_CLOEXEC), "pipe2");
  const [readEnd = -1, writeEnd = -1] = fds;
  return { readEnd, writeEnd };
}
