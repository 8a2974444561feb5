import { readFileSync } from "node:fs";
import { writeFileAtomically } from "../address.js";
import { startTimeOf } from "../shim-process.js";

/**
 * Makes a command end with the shim, however that ends: the kernel sends SIGKILL to the child when its parent is gone.
 * setpriv(1) is part of util-linux.
 */
export function endingWithUs(command: readonly string[]): string[] {
  return ["setpriv", "--pdeathsig", "KILL", "--", ...command];
}

/** Notes processes, each with its start time: a pid alone may be another process's by the time it is needed. */
export function recordProcesses(file: string, pids: readonly number[]): void {
  const lines = pids.map((pid) => `${pid} ${startTimeOf(pid) ?? 0}\n`);
  writeFileAtomically(file, lines.join(""));
}

/** Those of the recorded processes that still run. A missing record means that there are none. */
export function recordedProcesses(file: string): number[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
  return [...text.matchAll(/^(\d+) (\d+)$/gm)]
    .filter(([, pid, startTime]) => startTimeOf(Number(pid)) === startTime)
    .map(([, pid]) => Number(pid));
}
