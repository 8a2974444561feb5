import { existsSync, readFileSync } from "node:fs";

/** How /proc/cpuinfo and sysfs tell the frequency of a processor. */
export interface ProcessorFacts {
  readonly cpuinfo: string;
  /** Whether the host changes the processor's frequency. */
  readonly isScaled: boolean;
}

/**
 * How fast the host's time stamp counter runs, which an emulated processor shows its guest as it is; undefined where the host does not tell.
 *
 * Linux shows it as the processor's frequency where that neither changes (cpufreq) nor is measured (aperfmperf); so do all virtual machines that
 * have no virtualisation of their own, the hosts for which emulation is meant.
 */
export function timeStampCounterKhz({ cpuinfo, isScaled } = readProcessorFacts()): number | undefined {
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(/\s+/) ?? [];
  const mhz = Number(/^cpu MHz\s*:\s*(\d+\.\d+)$/m.exec(cpuinfo)?.[1]);
  const isCounters = flags.includes("constant_tsc") && !flags.includes("aperfmperf") && !isScaled;
  return isCounters && mhz > 0 ? Math.round(mhz * 1000) : undefined;
}

function readProcessorFacts(): ProcessorFacts {
  return {
    cpuinfo: readFileSync("/proc/cpuinfo", "utf8"),
    isScaled: existsSync("/sys/devices/system/cpu/cpu0/cpufreq"),
  };
}
