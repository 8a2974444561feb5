import { readdirSync, readFileSync } from "node:fs";
import { type ProcessMemory, readProcessMemory, readProcessStat } from "../../lib/process-files.js";
import { hasErrno } from "../../lib/sys/errno.js";

/** sysconf(_SC_CLK_TCK) on Linux. */
const TICKS_PER_SECOND = 100;

/** What the kernel counts of a process. */
export interface ProcessFigures extends ProcessMemory {
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly threads: number;
  readonly descriptors: number;
}

/** @returns undefined when it has ended */
export function processFigures(pid: number): ProcessFigures | undefined {
  try {
    const { userTicks, systemTicks, threads } = readProcessStat(pid);
    return {
      userSeconds: userTicks / TICKS_PER_SECOND,
      systemSeconds: systemTicks / TICKS_PER_SECOND,
      threads,
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      ...readProcessMemory(pid),
    };
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return undefined;
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
    if (hasErrno(error, "ENOENT", "ESRCH")) return [];
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
