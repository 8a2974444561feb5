import { CONFIGURATION_FIELDS } from "../configs/configuration.js";
import type { TimeLimits } from "../configs/index.js";

/** The limits of this process. A shim serves one sandbox, whose configuration arrives with the first Create; defaults until then. */
let current: Partial<TimeLimits> = {};

export function setTimeLimits(limits: TimeLimits): void {
  current = limits;
}

/** How long something may take, by its key in the configuration's section timeLimits. */
export function timeLimitMs(key: keyof TimeLimits): number {
  return (current[key] ?? CONFIGURATION_FIELDS.timeLimits[key].fallback) * 1000;
}
