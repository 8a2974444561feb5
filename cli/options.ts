import { type ParseArgsConfig, parseArgs } from "node:util";
import { nearest } from "../lib/nearest.js";
import { UsageError } from "./command.js";

type OptionTable = NonNullable<ParseArgsConfig["options"]>;

/**
 * Reads the options of a sub-command with node:util's parser.
 *
 * @throws UsageError for an unknown option, with the nearest known one, or one without its value
 */
export function readOptions<const T extends OptionTable>(words: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true, strict: true });
  } catch (error) {
    if (!(error instanceof TypeError) || !("code" in error)) throw error;
    const [unknown] = /^'?(--?[^' ]+)/.exec(error.message.replace("Unknown option ", "")) ?? [];
    if (error.code !== "ERR_PARSE_ARGS_UNKNOWN_OPTION" || unknown === undefined) {
      throw new UsageError(error.message.replace(/\.$/, ""), { cause: error });
    }
    const known = Object.keys(options).map((name) => `--${name}`);
    const option = unknown.replace("'", "");
    throw new UsageError(`unknown option ${option}; the nearest is ${nearest(option, known)}`, {
      cause: error,
    });
  }
}
