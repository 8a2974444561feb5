import { join } from "node:path";
import { readProcessStat } from "../lib/process-files.js";
import { readIfThere } from "../lib/read-if-there.js";
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
  const text = readIfThere(join(bundle, PID_FILE));
  if (text === undefined) return undefined;
  const [, pid, startTime] = /^(\d+) (\d+)$/.exec(text) ?? [];
  if (pid === undefined || startTime === undefined) throw new Error(`${join(bundle, PID_FILE)} is damaged`);
  return startTimeOf(Number(pid)) === startTime ? Number(pid) : undefined;
}

/**
 * When a process was started, in clock ticks since boot. Undefined if it has ended, even if its parent
 * has not taken notice yet.
 */
export function startTimeOf(pid: number): string | undefined {
  try {
    const { state, startTicks } = readProcessStat(pid);
    return state === "Z" || state === "X" ? undefined : startTicks;
  } catch {
    // There is no such process; root is refused nothing.
    return undefined;
  }
}
