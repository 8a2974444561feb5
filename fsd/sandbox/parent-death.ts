import { Errno, SysError } from "../../lib/sys/errno.js";
import { bindAsync } from "../../lib/sys/libc.js";

const prctlOnPoolThread = bindAsync<[option: number, signal: number]>(
  "int prctl(int option, unsigned long signal)",
);

const PR_SET_PDEATHSIG = 1;
const PR_GET_SECUREBITS = 27;
const SIGKILL = 9;

/** Runs prctl(2) on a thread of libuv's pool. */
function prctl(option: number, argument: number): Promise<number> {
  return new Promise((resolve) => prctlOnPoolThread(option, argument, resolve));
}

/** Starts the threads of libuv's pool, so that they lose their privileges together with the others. */
export async function startPoolThreads(): Promise<void> {
  await prctl(PR_GET_SECUREBITS, 0);
}

/**
 * Lets the kernel kill this process when its parent ends. What was asked for before is void: the kernel forgets it whenever a thread
 * changes its user ids, which the serving thread does with every file that a guest's user makes. The wish of any thread counts, and
 * those of the pool never change theirs again.
 *
 * @throws SysError
 */
export async function endWithParent(): Promise<void> {
  const result = await prctl(PR_SET_PDEATHSIG, SIGKILL);
  // errno is the other thread's; an invalid signal is all that could be wrong.
  if (result < 0) throw SysError.fromErrno(Errno.EINVAL, "prctl", "PR_SET_PDEATHSIG");
}
