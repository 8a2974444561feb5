import {
  ConfigError,
  configurationOf,
  dropInsOf,
  effectiveSettings,
  findConfigurationFile,
  loadSettings,
} from "../../configs/index.js";
import { type Output, UsageError } from "../command.js";
import { readOptions } from "../options.js";

/** `kata-fs config check`: 0 when the configuration can be used, 1 when not. */
export async function check(words: readonly string[], output: Output): Promise<number> {
  const { values, positionals } = readOptions(words, { json: { type: "boolean" } });
  const [named, surplus] = positionals;
  if (surplus !== undefined) throw new UsageError(`unexpected argument ${surplus}; one file at a time`);
  try {
    const file = findConfigurationFile(named, process.env);
    configurationOf(effectiveSettings(loadSettings(file)));
    const dropIns = dropInsOf(file);
    output.out(
      values.json
        ? `${JSON.stringify({ ok: true, file, dropIns })}\n`
        : [`ok  ${file}\n`, ...dropIns.map((dropIn) => `ok  ${dropIn}\n`)].join(""),
    );
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (values.json) output.out(`${JSON.stringify({ ok: false, error: error.message })}\n`);
    else output.err(`${error.message}\n`);
    return 1;
  }
}
