import { readIfThere } from "../../lib/read-if-there.js";
import { writeFileAtomically } from "../address.js";
import { startTimeOf } from "../shim-process.js";

/**
 * Makes a command end with the shim, however that ends: the kernel sends SIGKILL to the child when its parent is gone.
 * setpriv(1) is part of util-linux.
 */
export function endingWithUs(command: readonly string[]): string[] {
  return ["setpriv", "--pdeathsig", "KILL", "--", ...command];
}

/**
 * Notes the processes of a sandbox, its shim's first, each with its start time: a pid alone may be another process's by the time it is
 * needed.
 */
export function recordProcesses(file: string, pids: readonly number[]): void {
  const lines = pids.map((pid) => `${pid} ${startTimeOf(pid) ?? 0}\n`);
  writeFileAtomically(file, lines.join(""));
}

/** Those of the recorded processes that still run. A missing record means that there are none. */
export function recordedProcesses(file: string): number[] {
  return readRecord(file)
    .filter(isRunning)
    .map(({ pid }) => pid);
}

/** The recorded shim, if it still runs. */
export function recordedShim(file: string): number | undefined {
  const [shim] = readRecord(file);
  return shim !== undefined && isRunning(shim) ? shim.pid : undefined;
}

interface RecordedProcess {
  readonly pid: number;
  readonly startTime: string;
}

function isRunning({ pid, startTime }: RecordedProcess): boolean {
  return startTimeOf(pid) === startTime;
}

function readRecord(file: string): RecordedProcess[] {
  const text = readIfThere(file) ?? "";
  return [...text.matchAll(/^(\d+) (\d+)$/gm)].map(([, pid, startTime = ""]) => ({
    pid: Number(pid),
    startTime,
  }));
}
