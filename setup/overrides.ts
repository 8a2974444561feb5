import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import { ConfigError, type Configuration, parseConfiguration } from "../configs/index.js";

/** Keys of a configuration that somebody set, by section. Valid, but defaults are not filled in. */
export type Overrides = { readonly [S in keyof Configuration]?: Partial<Configuration[S]> };

/**
 * Reads the keys that `file` sets.
 *
 * @throws ConfigError
 */
export async function readOverrides(file: string): Promise<Overrides> {
  const yaml = await readFile(file, "utf8").catch((cause: Error) => {
    throw new ConfigError(`${file}: ${cause.message}`, { cause });
  });
  parseConfiguration(yaml, file);
  // Checked by the line above; only the raw document tells what was set from what has a default.
  return (parse(yaml) ?? {}) as Overrides;
}
