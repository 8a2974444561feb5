import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

/**
 * Makes a command end with the shim, however that ends: the kernel sends SIGKILL to the child when its parent is gone.
 * setpriv(1) is part of util-linux.
 */
export function endingWithUs(command: readonly string[]): string[] {
  return ["setpriv", "--pdeathsig", "KILL", "--", ...command];
}

/** A process that cannot be mistaken for a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: ticks from the machine's boot to the start of the process. */
  readonly startTime: string;
}

/** @throws Error when there is no such process */
export async function identify(pid: number): Promise<ProcessIdentity> {
  return { pid, startTime: startTimeOf(await readFile(`/proc/${pid}/stat`, "utf8")) };
}

/** Field 22 of proc_pid_stat(5); field 2 is a name in parentheses that may contain anything. */
export function startTimeOf(stat: string): string {
  const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return afterName[22 - 3] ?? "";
}

/** Records processes for {@link killRecorded}. */
export function recordProcesses(file: string, processes: readonly ProcessIdentity[]): void {
  writeFileSync(file, processes.map(({ pid, startTime }) => `${pid} ${startTime}\n`).join(""));
}

/** Those of the recorded processes that still run. A missing record means that there are none. */
export async function recordedProcesses(file: string): Promise<ProcessIdentity[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  const running: ProcessIdentity[] = [];
  for (const [, pid, startTime] of text.matchAll(/^(\d+) (\d+)$/gm)) {
    const now = await identify(Number(pid)).catch(() => undefined); // It has ended.
    if (now !== undefined && now.startTime === startTime) running.push(now);
  }
  return running;
}

/** Kills those of the recorded processes that still run. */
export async function killRecorded(file: string): Promise<void> {
  for (const { pid } of await recordedProcesses(file)) process.kill(pid, "SIGKILL");
}
