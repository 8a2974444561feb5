import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "./address.js";

/** The file in a sandbox's bundle that tells `delete` which process served it. */
const PID_FILE = "shim.pid";

/**
 * Notes this process in the bundle: its pid, and the time it was started at, without which a pid that was given to another
 * process meanwhile could be taken for it.
 */
export function writeShimPid(bundle: string): void {
  writeFileAtomically(join(bundle, PID_FILE), `${process.pid} ${startTimeOf(process.pid)}`);
}

/** The pid of the bundle's shim, or undefined if there is none or it does not run any more. */
export function runningShimPid(bundle: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(join(bundle, PID_FILE), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  const [, pid, startTime] = /^(\d+) (\d+)$/.exec(text) ?? [];
  if (pid === undefined || startTime === undefined) throw new Error(`${join(bundle, PID_FILE)} is damaged`);
  return startTimeOf(Number(pid)) === startTime ? Number(pid) : undefined;
}

/**
 * When a process was started, in clock ticks since boot: field 22 of proc_pid_stat(5). Undefined if it has ended, even if its parent
 * has not taken notice yet.
 */
export function startTimeOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    // There is no such process; root is refused nothing.
    return undefined;
  }
  // The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return state === "Z" || state === "X" ? undefined : fields[18];
}
