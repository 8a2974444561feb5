import { parse, TomlError } from "smol-toml";
import { ConfigError } from "./config-error.js";

/**
 * Parses TOML into plain objects and arrays. A whole number beyond 2^53, as runtime-rs has some, is the nearest that JavaScript's
 * numbers can say.
 *
 * @param name how errors name the text
 * @throws ConfigError
 */
export function parseToml(toml: string, name: string): object {
  try {
    return withoutBigInts(parse(toml, { integersAsBigInt: "asNeeded" }));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [reason = ""] = error.message.replace(/^Invalid TOML document: /, "").split("\n", 1);
    throw new ConfigError(`${name}:${error.line}: ${reason}`, { cause: error });
  }
}

function withoutBigInts(table: object): object {
  return JSON.parse(JSON.stringify(table, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
}
