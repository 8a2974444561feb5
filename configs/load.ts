import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "./config-error.js";
import type { Configuration } from "./configuration.js";
import { kataFsDirectory } from "./directory.js";
import { parseSettings } from "./parse.js";
import { configurationOf, effectiveSettings, type Settings } from "./settings.js";

/** Where a configuration is looked for when nobody names one: the administrator's, then the one that set-up made. */
export function defaultFiles(env: NodeJS.ProcessEnv): readonly string[] {
  return ["/etc/kata-fs/config.yaml", join(kataFsDirectory(env), "config.yaml")];
}

/**
 * The file that holds the configuration: `runtimeOption` (ConfigPath of containerd's runtime options), the environment's
 * KATA_FS_CONFIG, or the first of {@link defaultFiles} that exists.
 *
 * @throws ConfigError when there is none, or drop-ins for one that is not there: they would be without effect.
 */
export function findConfigurationFile(
  runtimeOption: string | undefined,
  env: NodeJS.ProcessEnv,
  defaults: readonly string[] = defaultFiles(env),
): string {
  const { KATA_FS_CONFIG } = env;
  const named = runtimeOption || KATA_FS_CONFIG;
  if (named) return named;
  for (const candidate of defaults) {
    if (existsSync(candidate)) return candidate;
    const [dropIn] = dropInsOf(candidate);
    if (dropIn !== undefined) {
      throw new ConfigError(`${dropIn} has nothing to add to; needed: ${candidate}, which may be empty`);
    }
  }
  throw new ConfigError(
    `no configuration at ${defaults.join(" or ")}; needed: one of them, which \`kata-fs install\` writes, KATA_FS_CONFIG, or ConfigPath`,
  );
}

/**
 * The drop-ins of a configuration file, in the order in which they apply: the files *.yaml, by the bytes of their names, of the
 * directory that is called as the file is, with .d for .yaml. Names that begin with a dot are left out.
 *
 * @throws ConfigError
 */
export function dropInsOf(file: string): readonly string[] {
  const directory = `${file.replace(/\.ya?ml$/, "")}.d`;
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR"))
      return [];
    throw unreadable(directory, cause);
  }
  return names
    .filter((name) => name.endsWith(".yaml") && !name.startsWith("."))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map((name) => join(directory, name));
}

/**
 * What `file` and its drop-ins set, in the order in which they apply.
 *
 * @throws ConfigError when one of them cannot be read, and as {@link parseSettings}
 */
export function loadSettings(file: string): readonly Settings[] {
  return [file, ...dropInsOf(file)].map((name) => parseSettings(readText(name), name));
}

/** The configuration in `file` and its drop-ins. @throws ConfigError as {@link loadSettings} */
export function loadConfiguration(file: string): Configuration {
  return configurationOf(effectiveSettings(loadSettings(file)));
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

function unreadable(file: string, cause: unknown): ConfigError {
  return new ConfigError(`${file}: ${cause instanceof Error ? cause.message : cause}`, { cause });
}
