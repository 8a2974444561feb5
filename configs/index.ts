export { ConfigError } from "./config-error.js";
export type {
  Configuration,
  DaemonConfiguration,
  GuestConfiguration,
  HypervisorConfiguration,
  RuntimeConfiguration,
  TimeLimits,
} from "./configuration.js";
export { defaultFiles, dropInsOf, findConfigurationFile, loadConfiguration, loadSettings } from "./load.js";
export { parseConfiguration, parseSettings } from "./parse.js";
export {
  configurationOf,
  DEFAULT_ORIGIN,
  type EffectiveSettings,
  effectiveSettings,
  type Overrides,
  overridesOf,
  type Setting,
  type Settings,
} from "./settings.js";
