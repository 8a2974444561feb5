import { O_CLOEXEC } from "../../lib/sys/file.js";
import { addressOf, bind, check } from "../../lib/sys/libc.js";

const pipe2 = bind<(fds: number, flags: number) => number>("int pipe2(uintptr_t fds, int flags)");

/** Both ends are close-on-exec and blocking. */
export interface PipeEnds {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** pipe2(2). */
export function openPipe(): PipeEnds {
  const fds = new Int32Array(2);
  check(pipe2(addressOf(fds), O_CLOEXEC), "pipe2");
  const [readEnd = -1, writeEnd = -1] = fds;
  return { readEnd, writeEnd };
}
