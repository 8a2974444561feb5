import { Errno, SysError } from "./errno.js";
import { close } from "./file.js";
import { bindLazily, check } from "./libc.js";
import { PollSet } from "./poll.js";
import { architectureOfHost, type SyscallName, syscallNumber } from "./syscall-number.js";

const syscall = bindLazily<(nr: number, pid: number, flags: number) => number>(
  "int64_t syscall(int64_t nr, uint64_t pid, uint64_t flags)",
);

/** A descriptor that stands for a process: pidfd_open(2). @throws SysError, ESRCH if there is no such process */
export function openPidfd(pid: number): number {
  return check(syscall(syscallNumberHere("pidfd_open"), pid, 0), "pidfd_open", String(pid));
}

/**
 * Waits until a process has ended with all of its threads, whether or not its parent knows of that.
 * @param pidfd of {@link openPidfd}; closed
 * @returns false if that takes longer than `timeoutMs`
 * @throws SysError
 */
export function waitForEnd(pidfd: number, timeoutMs: number): boolean {
  const deadlineMs = performance.now() + timeoutMs;
  const polled = new PollSet(1);
  polled.add(pidfd);
  try {
    for (;;) {
      const leftMs = Math.ceil(deadlineMs - performance.now());
      if (leftMs <= 0) return false;
      // A signal interrupts it.
      if (polled.wait(leftMs) > 0) return true;
    }
  } finally {
    close(pidfd);
  }
}

/** @throws SysError, ENOSYS on an architecture whose number is not known */
export function syscallNumberHere(name: SyscallName): number {
  const architecture = architectureOfHost();
  const nr = architecture === undefined ? undefined : syscallNumber(name, architecture);
  if (nr === undefined) throw SysError.fromErrno(Errno.ENOSYS, name);
  return nr;
}
