import {
  type EffectiveSettings,
  NO_OPTIONS,
  resolveConfiguration,
  type Setting,
} from "../../configs/index.js";
import { inlineYaml } from "../../configs/inline-yaml.js";
import { type Output, UsageError } from "../command.js";
import { readOptions } from "../options.js";

/** `kata-fs config show`. */
export async function show(words: readonly string[], output: Output): Promise<number> {
  const { values, positionals } = readOptions(words, {
    config: { type: "string" },
    annotation: { type: "string", multiple: true },
    json: { type: "boolean" },
  });
  if (positionals.length > 0)
    throw new UsageError(`unexpected argument ${positionals[0]}; a file goes behind --config`);
  const effective = await resolveConfiguration({
    env: process.env,
    options: { ...NO_OPTIONS, configPath: values.config ?? "" },
    annotations: Object.fromEntries((values.annotation ?? []).map(readAnnotation)),
  });
  output.out(values.json ? `${JSON.stringify(effective, undefined, 2)}\n` : formatSettings(effective));
  return 0;
}

function readAnnotation(text: string): readonly [name: string, value: string] {
  const equals = text.indexOf("=");
  if (equals <= 0) throw new UsageError(`--annotation ${text}; needed: NAME=VALUE`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

/** YAML that says the same, with the origin of each value as a comment. */
export function formatSettings(effective: EffectiveSettings): string {
  return Object.entries(effective)
    .map(([section, settings]) => {
      const lines = Object.entries<Setting<unknown>>(settings).map(([key, { value, origin }]) => ({
        text: value === undefined ? `  # ${key}:` : `  ${key}: ${inlineYaml(value)}`,
        origin,
      }));
      const width = Math.max(...lines.map(({ text }) => text.length).filter((length) => length <= 60));
      return `${section}:\n${lines.map(({ text, origin }) => `${text.padEnd(width)}  # ${origin}\n`).join("")}`;
    })
    .join("\n");
}
