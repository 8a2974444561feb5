import { readdirSync, readFileSync } from "node:fs";

/** sysconf(_SC_CLK_TCK) on Linux. */
const TICKS_PER_SECOND = 100;
const BYTES_PER_KIBIBYTE = 1024;

/** What the kernel counts of a process. */
export interface ProcessFigures {
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly threads: number;
  readonly descriptors: number;
  readonly residentBytes: number;
  /** What it shares counts by the number of those it shares it with. */
  readonly proportionalBytes: number;
}

/** @returns undefined when it has ended */
export function processFigures(pid: number): ProcessFigures | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // proc_pid_stat(5): the second field is the program's name in parentheses, which may hold spaces.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [utime = 0, stime = 0, threads = 0] = [fields[11], fields[12], fields[17]].map(Number);
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return {
      userSeconds: utime / TICKS_PER_SECOND,
      systemSeconds: stime / TICKS_PER_SECOND,
      threads,
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      residentBytes: kibibytes(rollup, "Rss"),
      proportionalBytes: kibibytes(rollup, "Pss"),
    };
  } catch (error) {
    if (hasEnded(error)) return undefined;
    throw error;
  }
}

/** As {@link processFigures}, with all processes that descend from it: kata-fsd's is a shell that waits for it outside of its namespaces. */
export function familyFigures(pid: number): ProcessFigures | undefined {
  const first = processFigures(pid);
  if (first === undefined) return undefined;
  return childrenOf(pid).reduce((sum, child) => {
    const figures = familyFigures(child);
    return figures === undefined ? sum : added(sum, figures);
  }, first);
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch (error) {
    if (hasEnded(error)) return [];
    throw error;
  }
}

function added(one: ProcessFigures, other: ProcessFigures): ProcessFigures {
  return {
    userSeconds: one.userSeconds + other.userSeconds,
    systemSeconds: one.systemSeconds + other.systemSeconds,
    threads: one.threads + other.threads,
    descriptors: one.descriptors + other.descriptors,
    residentBytes: one.residentBytes + other.residentBytes,
    proportionalBytes: one.proportionalBytes + other.proportionalBytes,
  };
}

function hasEnded(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH");
}

function kibibytes(rollup: string, key: string): number {
  return Number(new RegExp(`^${key}: +(\\d+) kB$`, "m").exec(rollup)?.[1] ?? 0) * BYTES_PER_KIBIBYTE;
}
