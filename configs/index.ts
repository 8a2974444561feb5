export { ConfigError } from "./config-error.js";
export type {
  Configuration,
  DaemonConfiguration,
  GuestConfiguration,
  HypervisorConfiguration,
  RuntimeConfiguration,
} from "./configuration.js";
export { defaultFiles, findConfigurationFile, loadConfiguration } from "./load.js";
export { parseConfiguration } from "./parse.js";
