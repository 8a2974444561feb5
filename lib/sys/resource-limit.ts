import { readFileSync } from "node:fs";
import { SysError } from "./errno.js";
import { bindLazily, check, lastErrno, permanentAddressOf } from "./libc.js";

const prlimit = bindLazily<(pid: number, resource: number, wanted: number, current: number) => number>(
  "int prlimit(int pid, int resource, uintptr_t wanted, uintptr_t current)",
);

/** RLIMIT_* of asm-generic/resource.h. */
const Resource = {
  core: 4,
  openFiles: 7,
  lockedMemory: 8,
  messageQueueBytes: 12,
  nice: 13,
  realTimePriority: 14,
} as const;
const SELF = 0;
/** The most that the kernel lets anyone have. */
const NR_OPEN_PATH = "/proc/sys/fs/nr_open";

const buffer = new BigUint64Array(2);
const bufferAddress = permanentAddressOf(buffer);

/** `struct rlimit`: the limit that counts, and how far the process itself may raise it. */
export interface ResourceLimit {
  readonly soft: number;
  readonly hard: number;
}

/** How many descriptors this process may have. @throws SysError */
export function descriptorLimit(): ResourceLimit {
  check(prlimit(SELF, Resource.openFiles, 0, bufferAddress), "prlimit", "RLIMIT_NOFILE");
  return { soft: Number(buffer[0]), hard: Number(buffer[1]) };
}

/**
 * Raises RLIMIT_NOFILE as far as this process may: to `fs.nr_open` with CAP_SYS_RESOURCE, else to the hard limit.
 * @param most never above this
 * @returns what it is then
 * @throws SysError if it cannot even be read
 */
export function raiseDescriptorLimit(most = Number.POSITIVE_INFINITY): ResourceLimit {
  const { soft, hard } = descriptorLimit();
  const wanted = Math.min(most, Math.max(hard, systemLimit()));
  // The second try is what an unprivileged process may do. One that fails leaves what was.
  if (wanted > soft && !setLimit(wanted, Math.max(hard, wanted)) && hard > soft) {
    setLimit(Math.min(most, hard), hard);
  }
  return descriptorLimit();
}

/** Sets RLIMIT_NOFILE to `count`, for this process and for those that it starts. @throws SysError EPERM above what it may have */
export function setDescriptorLimit(count: number): void {
  if (!setLimit(count, count)) throw SysError.fromErrno(lastErrno(), "prlimit", `RLIMIT_NOFILE ${count}`);
}

/** Takes a resource from this process for good: its limit becomes 0, and nobody without CAP_SYS_RESOURCE raises it. @throws SysError */
export function renounce(resource: Exclude<keyof typeof Resource, "openFiles">): void {
  buffer.fill(0n);
  check(prlimit(SELF, Resource[resource], bufferAddress, 0), "prlimit", resource);
}

function setLimit(soft: number, hard: number): boolean {
  buffer[0] = BigInt(soft);
  buffer[1] = BigInt(hard);
  return prlimit(SELF, Resource.openFiles, bufferAddress, 0) === 0;
}

function systemLimit(): number {
  try {
    return Number(readFileSync(NR_OPEN_PATH, "latin1"));
  } catch {
    // Without /proc the hard limit has to do.
    return 0;
  }
}
