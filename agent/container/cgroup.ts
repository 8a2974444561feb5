import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "../../lib/sys/errno.js";

/** Counters of a cgroup that the kernel notifies of (cgroups(7), version 2). */
export const MEMORY_EVENTS = "memory.events";

const CGROUP_ROOT = "/sys/fs/cgroup";

/**
 * The directory of the cgroup (version 2) in which `pid` runs, or undefined when it has none of its own: then it is in
 * the root, with everything else (cgroups(7), /proc/PID/cgroup).
 */
export function cgroupOf(pid: number): string | undefined {
  const line = readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .split("\n")
    .find((each) => each.startsWith("0::"));
  const path = line?.slice("0::".length) ?? "/";
  return path === "/" ? undefined : join(CGROUP_ROOT, path);
}

/** Kills every process below `cgroup`, frozen ones too. A cgroup that is gone has none. */
export function killCgroup(cgroup: string): void {
  write(cgroup, "cgroup.kill", "1");
}

/** Stops or continues every process below `cgroup`. */
export function freezeCgroup(cgroup: string, frozen: boolean): void {
  write(cgroup, "cgroup.freeze", frozen ? "1" : "0");
}

/** Whether every process below `cgroup` has stopped: the kernel stops each at its next way back from a system call. */
export function isFrozen(cgroup: string): boolean {
  return /^frozen 1$/m.test(readFileSync(join(cgroup, "cgroup.events"), "utf8"));
}

/** How often the kernel killed a process of `cgroup` for want of memory; 0 when the cgroup is gone. */
export function oomKills(cgroup: string): number {
  try {
    const events = readFileSync(join(cgroup, MEMORY_EVENTS), "utf8");
    return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV")) return 0;
    throw error;
  }
}

function write(cgroup: string, file: string, value: string): void {
  try {
    writeFileSync(join(cgroup, file), value);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENODEV")) throw error;
  }
}
