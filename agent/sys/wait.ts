import { bindLazily, check } from "../../lib/sys/libc.js";

const waitpid = bindLazily<(pid: number, status: Int32Array, options: number) => number>(
  "int waitpid(int pid, void *status, int options)",
);
const prctl = bindLazily<(option: number, argument: number) => number>(
  "int prctl(int option, uint64_t argument)",
);

const WNOHANG = 1;
const PR_SET_CHILD_SUBREAPER = 36;

/** A child that ended. */
export interface ExitedChild {
  readonly pid: number;
  /** 0..255, or 128 plus the signal that ended it. */
  readonly exitCode: number;
}

const statusWord = new Int32Array(1);

/** Reaps one child that has ended, if any; does not wait. */
export function reapChild(): ExitedChild | undefined {
  // ECHILD, no child at all, is as good as none that ended; the call knows no other error.
  const pid = waitpid(-1, statusWord, WNOHANG);
  return pid > 0 ? { pid, exitCode: exitCodeOf(statusWord[0] ?? 0) } : undefined;
}

/** The exit code of a wait status, as shells count: signals above 128 (wait(2), `WIFEXITED` and `WTERMSIG`). */
export function exitCodeOf(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}

/** Orphans below this process come to it, as they come to PID 1 of a guest (prctl(2), PR_SET_CHILD_SUBREAPER). */
export function becomeSubreaper(): void {
  check(prctl(PR_SET_CHILD_SUBREAPER, 1), "prctl PR_SET_CHILD_SUBREAPER");
}
