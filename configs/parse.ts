import { type Document, isMap, isScalar, LineCounter, parseDocument } from "yaml";
import { nearest } from "../lib/nearest.js";
import { ConfigError } from "./config-error.js";
import { CONFIGURATION_FIELDS, type Configuration, type Section } from "./configuration.js";
import {
  configurationOf,
  effectiveSettings,
  mapSections,
  type SectionSettings,
  type Setting,
  type Settings,
} from "./settings.js";

/** Reads a configuration from one text, as {@link parseSettings}, with the defaults filled in. */
export function parseConfiguration(yaml: string, name: string): Configuration {
  return configurationOf(effectiveSettings([parseSettings(yaml, name)]));
}

/**
 * Reads the keys that a configuration file sets.
 *
 * @param yaml the text of the file
 * @param name how errors and origins name the file
 * @throws ConfigError for text that is not YAML, an unknown key, a value of another kind than its key wants.
 */
export function parseSettings(yaml: string, name: string): Settings {
  const lines = new LineCounter();
  const document = parseDocument(yaml, { lineCounter: lines, prettyErrors: false, logLevel: "error" });
  const [syntaxError] = document.errors;
  if (syntaxError !== undefined) {
    const { line } = lines.linePos(syntaxError.pos[0]);
    throw new ConfigError(`${name}:${line}: ${syntaxError.message.split("\n", 1)[0]}`);
  }
  return readSettings(document.toJS(), (keys) => `${name}${lineOf(document, lines, keys)}`);
}

/** Says where a key stands, for errors and origins. */
export type Locate = (keys: readonly string[]) => string;

/**
 * Checks the keys and values of a configuration that some parser has read.
 *
 * @throws ConfigError as {@link parseSettings}
 */
export function readSettings(parsed: unknown, locate: Locate): Settings {
  const root = mappingOf(parsed, [], locate);
  refuseUnknown(root, CONFIGURATION_FIELDS, [], locate);
  return mapSections<"settings">((section) =>
    readSection(
      mappingOf(root.get(section), [section], locate),
      CONFIGURATION_FIELDS[section],
      section,
      locate,
    ),
  );
}

function readSection<T>(
  mapping: ReadonlyMap<string, unknown>,
  fields: Section<T>,
  section: string,
  locate: Locate,
): SectionSettings<T> {
  refuseUnknown(mapping, fields, [section], locate);
  const result: { [K in keyof T]?: Setting<T[K]> } = {};
  for (const key in fields) {
    if (!mapping.has(key)) continue;
    const { expects, unit, read } = fields[key];
    const found = mapping.get(key);
    const accepted = read(found);
    const keys = [section, key];
    if (accepted === undefined) {
      const needed = unit === undefined ? expects : `${expects}, in ${unit}`;
      throw new ConfigError(
        `${locate(keys)}: ${keys.join(".")} is ${JSON.stringify(found)}; needed: ${needed}`,
      );
    }
    result[key] = { value: accepted.value, origin: locate(keys) };
  }
  return result;
}

function refuseUnknown(
  mapping: ReadonlyMap<string, unknown>,
  known: object,
  path: readonly string[],
  locate: Locate,
): void {
  for (const key of mapping.keys()) {
    if (Object.hasOwn(known, key)) continue;
    const keys = [...path, key];
    const hint = nearest(key, Object.keys(known));
    throw new ConfigError(
      `${locate(keys)}: unknown key ${keys.join(".")}; needed: a known one, the nearest is ${hint}`,
    );
  }
}

/** A mapping's entries; an empty file and a section of which all is commented out count as empty mappings. */
function mappingOf(value: unknown, keys: readonly string[], locate: Locate): ReadonlyMap<string, unknown> {
  if (value === null || value === undefined) return new Map();
  if (typeof value !== "object" || Array.isArray(value)) {
    const what = keys.length === 0 ? "the configuration" : keys.join(".");
    throw new ConfigError(`${locate(keys)}: ${what} is ${JSON.stringify(value)}; needed: a mapping`);
  }
  return new Map(Object.entries(value));
}

/** ":12" for the line on which the innermost of `keys` stands that is in the document. */
function lineOf(document: Document, lines: LineCounter, keys: readonly string[]): string {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const key of keys) {
    const pair = isMap(node)
      ? node.items.find((item) => isScalar(item.key) && String(item.key.value) === key)
      : undefined;
    if (pair === undefined || !isScalar(pair.key)) break;
    offset = pair.key.range?.[0] ?? offset;
    node = pair.value;
  }
  return offset === undefined ? "" : `:${lines.linePos(offset).line}`;
}
