import { availableParallelism, totalmem } from "node:os";
import type { HypervisorConfiguration } from "../../configs/index.js";
import type { VmSize } from "../vm/description.js";
import type { ResourceLimits } from "./oci/resource-limits.js";

const MIB = 2 ** 20;
/** More need interrupt remapping, which the VM has not. */
const CPUS_MAX = 255;

/** The largest size that a VM may grow to: as configured, or as large as the host; in any case what it has at the start. */
export function largestVmSize({ cpus, memoryMiB, maxCpus, maxMemoryMiB }: HypervisorConfiguration): VmSize {
  return {
    cpus: Math.min(CPUS_MAX, Math.max(cpus, maxCpus > 0 ? maxCpus : availableParallelism())),
    memoryMiB: Math.max(memoryMiB, maxMemoryMiB > 0 ? maxMemoryMiB : Math.floor(totalmem() / MIB)),
  };
}

/** What the configuration gives each VM, with what its containers may use on top. */
export function vmSize(
  { cpus, memoryMiB }: VmSize,
  largest: VmSize,
  containers: readonly ResourceLimits[],
): VmSize {
  const containerCpus = containers.reduce((sum, limits) => sum + limits.cpus, 0);
  const containerBytes = containers.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  return {
    cpus: Math.min(largest.cpus, Math.ceil(cpus + containerCpus)),
    memoryMiB: Math.min(largest.memoryMiB, memoryMiB + Math.ceil(containerBytes / MIB)),
  };
}
