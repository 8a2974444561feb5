import { readFileSync } from "node:fs";

const BYTES_PER_KIBIBYTE = 1024;

/** Of proc_pid_stat(5); times in clock ticks. */
export interface ProcessStat {
  /** A letter: "Z" for a process that has ended and whose parent has not taken notice. */
  readonly state: string;
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly threads: number;
  /** Since boot; as it is written, for it may exceed what a number holds exactly. */
  readonly startTicks: string;
}

/** @throws as Node does: ENOENT or ESRCH when it has ended */
export function readProcessStat(pid: number): ProcessStat {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
  const [state = "", ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [userTicks = 0, systemTicks = 0, threads = 0] = [fields[10], fields[11], fields[16]].map(Number);
  return { state, userTicks, systemTicks, threads, startTicks: fields[18] ?? "" };
}

/** How much memory a process has, of proc_pid_smaps_rollup(5). */
export interface ProcessMemory {
  readonly residentBytes: number;
  /** What it shares counts by the number of those it shares it with. */
  readonly proportionalBytes: number;
}

/** @throws as {@link readProcessStat} */
export function readProcessMemory(pid: number): ProcessMemory {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return { residentBytes: bytesOf(rollup, "Rss"), proportionalBytes: bytesOf(rollup, "Pss") };
}

function bytesOf(rollup: string, key: string): number {
  return Number(new RegExp(`^${key}: +(\\d+) kB$`, "m").exec(rollup)?.[1] ?? 0) * BYTES_PER_KIBIBYTE;
}
