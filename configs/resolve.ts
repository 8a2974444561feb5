import { annotationSettings } from "./annotations.js";
import { findConfigurationFile, loadSettings } from "./load.js";
import { readSettings } from "./parse.js";
import { configurationOf, type EffectiveSettings, effectiveSettings, type Settings } from "./settings.js";

/** What containerd says about the configuration of a runtime: containerd.runtimeoptions.v1.Options. */
export interface RuntimeOptions {
  /** Absolute path of a configuration file; empty when none is named. */
  readonly configPath: string;
  /** The runtime's `options` table in containerd's configuration, as TOML; empty when it names a file, or there is none. */
  readonly configBody: string;
}

export const NO_OPTIONS: RuntimeOptions = { configPath: "", configBody: "" };

/** Where a sandbox's configuration comes from. */
export interface Sources {
  readonly env: NodeJS.ProcessEnv;
  readonly options: RuntimeOptions;
  /** Of the container that the sandbox is brought up for. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** Keys of the options table that are containerd's own. */
const OPTION_FIELDS = ["TypeUrl", "ConfigPath"];

/**
 * The configuration of a sandbox: a file, its drop-ins, what the runtime's options set, what annotations may set, each over the ones
 * before.
 *
 * @throws ConfigError
 */
export async function resolveConfiguration({
  env,
  options,
  annotations,
}: Sources): Promise<EffectiveSettings> {
  const file = findConfigurationFile(options.configPath, env);
  const layers = [...loadSettings(file), ...(await bodySettings(options.configBody))];
  return effectiveSettings([
    ...layers,
    ...annotationSettings(annotations, configurationOf(effectiveSettings(layers))),
  ]);
}

async function bodySettings(toml: string): Promise<readonly Settings[]> {
  if (toml.trim() === "") return [];
  const name = "the runtime's options in containerd's configuration";
  // Rarely needed: it is a bundle of its own.
  const { parseToml } = await import("./toml.js");
  const table = Object.entries(parseToml(toml, name)).filter(([key]) => !OPTION_FIELDS.includes(key));
  return [readSettings(Object.fromEntries(table), () => name)];
}
