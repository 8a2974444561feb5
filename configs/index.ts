export { ANNOTATION_PREFIX, ANNOTATION_RULES } from "./annotations.js";
export { ConfigError } from "./config-error.js";
export type {
  AnnotationsConfiguration,
  Configuration,
  DaemonConfiguration,
  GuestConfiguration,
  HypervisorConfiguration,
  RuntimeConfiguration,
  TimeLimits,
} from "./configuration.js";
export { defaultFiles, dropInsOf, findConfigurationFile, loadConfiguration, loadSettings } from "./load.js";
export { parseConfiguration, parseSettings, readSettings } from "./parse.js";
export { NO_OPTIONS, type RuntimeOptions, resolveConfiguration, type Sources } from "./resolve.js";
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
