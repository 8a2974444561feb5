import { effectiveSettings, loadSettings, type Overrides, overridesOf } from "../configs/index.js";

/** Keys of a configuration that somebody set, by section. Valid, but defaults are not filled in. */
export type { Overrides };

/**
 * Reads the keys that `file` and its drop-ins set.
 *
 * @throws ConfigError
 */
export function readOverrides(file: string): Overrides {
  return overridesOf(effectiveSettings(loadSettings(file)));
}
