import { readdirSync, readFileSync } from "node:fs";

/** A process and its descendants. */
export function processTree(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(processTree)];
}

/** Processor time that processes have used, all threads of them, in seconds. */
export function cpuSecondsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1").split(" "))
      .filter((word) => word !== "")
      .map(Number);
  } catch {
    return []; // It has ended meanwhile.
  }
}

/** By the scheduler's account, in nanoseconds; utime and stime of /proc/PID/stat count in hundredths of a second. */
function cpuSeconds(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .map((thread) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ")[0])
      .reduce((sum, nanoseconds) => sum + Number(nanoseconds) / 1e9, 0);
  } catch {
    return 0; // It has ended meanwhile.
  }
}
