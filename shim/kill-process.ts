/**
 * Sends SIGKILL to a process that may end by itself at the same moment. One that is gone is what was wanted.
 * @throws what kill(2) refuses for another reason
 */
export function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
