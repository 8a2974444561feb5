import { renounce } from "../../lib/sys/resource-limit.js";

/**
 * Limits that hold whatever the daemon is made to do; RLIMIT_NOFILE has been set before. There is none for memory: V8 reserves
 * address space by the gigabyte, and the guest's memory is mapped as well, so a memory cgroup has to do that. There is none
 * for processes: no system call that makes one is left.
 *
 * @throws SysError
 */
export function limitResources(): void {
  // A core dump holds the guest's memory.
  renounce("core");
  renounce("lockedMemory");
  renounce("messageQueueBytes");
  renounce("nice");
  renounce("realTimePriority");
}
