import { parse, TomlError } from "smol-toml";
import { ConfigError } from "./config-error.js";

/**
 * Parses TOML into plain objects and arrays.
 *
 * @param name how errors name the text
 * @throws ConfigError
 */
export function parseToml(toml: string, name: string): object {
  try {
    return parse(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [reason = ""] = error.message.replace(/^Invalid TOML document: /, "").split("\n", 1);
    throw new ConfigError(`${name}:${error.line}: ${reason}`, { cause: error });
  }
}
