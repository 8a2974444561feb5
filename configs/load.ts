import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError } from "./config-error.js";
import type { Configuration } from "./configuration.js";
import { parseConfiguration } from "./parse.js";

/** Where a configuration is looked for when nobody names one: the administrator's, then the one that set-up made. */
export function defaultFiles(env: NodeJS.ProcessEnv): readonly string[] {
  const { KATA_FS_DIR = "/opt/kata-fs" } = env;
  return ["/etc/kata-fs/config.yaml", join(resolve(KATA_FS_DIR), "config.yaml")];
}

/**
 * The file that holds the configuration: `runtimeOption` (ConfigPath of containerd's runtime options), the environment's
 * KATA_FS_CONFIG, or the first of {@link defaultFiles} that exists.
 *
 * @throws ConfigError when there is none.
 */
export function findConfigurationFile(
  runtimeOption: string | undefined,
  env: NodeJS.ProcessEnv,
  defaults: readonly string[] = defaultFiles(env),
): string {
  const { KATA_FS_CONFIG } = env;
  const file = runtimeOption || KATA_FS_CONFIG || defaults.find((candidate) => existsSync(candidate));
  if (file !== undefined) return file;
  throw new ConfigError(
    `no configuration at ${defaults.join(" or ")}; needed: one of them, which \`npm start\` writes, KATA_FS_CONFIG, or ConfigPath`,
  );
}

/** @throws ConfigError when `file` cannot be read, and as {@link parseConfiguration}. */
export function loadConfiguration(file: string): Configuration {
  let yaml: string;
  try {
    yaml = readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError(`${file}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  return parseConfiguration(yaml, file);
}
