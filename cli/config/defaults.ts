import { commentedConfiguration } from "../../configs/commented.js";
import { CONFIGURATION_FIELDS } from "../../configs/configuration.js";
import { EXPLANATIONS } from "../../configs/explanations.js";
import type { Field } from "../../configs/field.js";
import { type Output, UsageError } from "../command.js";
import { readOptions } from "../options.js";

/** `kata-fs config defaults`. */
export async function defaults(words: readonly string[], output: Output): Promise<number> {
  const { values, positionals } = readOptions(words, { json: { type: "boolean" } });
  if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
  output.out(values.json ? `${JSON.stringify(describeKeys(), undefined, 2)}\n` : commentedConfiguration());
  return 0;
}

/** Section → key → what the commented file says of it. */
function describeKeys(): object {
  return Object.fromEntries(
    Object.entries(CONFIGURATION_FIELDS).map(([section, fields]) => {
      const { keys } = EXPLANATIONS[section as keyof typeof EXPLANATIONS]; // Both have the same sections, by their types.
      const meanings: Readonly<Record<string, string>> = { ...keys };
      const described = Object.entries<Field<unknown>>(fields).map(
        ([key, { expects, unit = null, fallback = null }]) =>
          [key, { meaning: meanings[key], type: expects, unit, default: fallback }] as const,
      );
      return [section, Object.fromEntries(described)];
    }),
  );
}
