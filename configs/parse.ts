import { type Document, isMap, isScalar, LineCounter, parseDocument } from "yaml";
import { nearest } from "../lib/nearest.js";
import { ConfigError } from "./config-error.js";
import { CONFIGURATION_FIELDS, type Configuration, type Section } from "./configuration.js";

/**
 * Reads a configuration.
 *
 * @param yaml the text of the file
 * @param name how errors name the file
 * @throws ConfigError for text that is not YAML, an unknown key, a value of another kind than its key wants.
 */
export function parseConfiguration(yaml: string, name: string): Configuration {
  const lines = new LineCounter();
  const document = parseDocument(yaml, { lineCounter: lines, prettyErrors: false, logLevel: "error" });
  const complain = (keys: readonly string[], complaint: string): never => {
    throw new ConfigError(`${name}${lineOf(document, lines, keys)}: ${complaint}`);
  };

  const [syntaxError] = document.errors;
  if (syntaxError !== undefined) {
    const { line } = lines.linePos(syntaxError.pos[0]);
    throw new ConfigError(`${name}:${line}: ${syntaxError.message.split("\n", 1)[0]}`);
  }
  const root = mappingOf(document.toJS(), [], complain);
  refuseUnknown(root, CONFIGURATION_FIELDS, [], complain);
  const section = <K extends keyof Configuration>(key: K): Configuration[K] =>
    readSection<Configuration[K]>(
      mappingOf(root.get(key), [key], complain),
      CONFIGURATION_FIELDS[key],
      key,
      complain,
    );
  return {
    hypervisor: section("hypervisor"),
    guest: section("guest"),
    daemon: section("daemon"),
    runtime: section("runtime"),
  };
}

type Complain = (keys: readonly string[], complaint: string) => never;

function readSection<T>(
  mapping: ReadonlyMap<string, unknown>,
  fields: Section<T>,
  section: string,
  complain: Complain,
): T {
  refuseUnknown(mapping, fields, [section], complain);
  const result: Partial<T> = {};
  for (const key in fields) {
    const field = fields[key];
    if (!mapping.has(key)) {
      result[key] = field.fallback;
      continue;
    }
    const found = mapping.get(key);
    const read = field.read(found);
    if (read === undefined) {
      complain([section, key], `${section}.${key} is ${JSON.stringify(found)}; needed: ${field.expects}`);
    } else {
      result[key] = read.value;
    }
  }
  return result as T; // Every key of T has a field, and every field was read.
}

function refuseUnknown(
  mapping: ReadonlyMap<string, unknown>,
  known: object,
  path: readonly string[],
  complain: Complain,
): void {
  for (const key of mapping.keys()) {
    if (Object.hasOwn(known, key)) continue;
    const keys = [...path, key];
    complain(
      keys,
      `unknown key ${keys.join(".")}; needed: a known one, the nearest is ${nearest(key, Object.keys(known))}`,
    );
  }
}

/** A mapping's entries; an empty file and a section of which all is commented out count as empty mappings. */
function mappingOf(
  value: unknown,
  keys: readonly string[],
  complain: Complain,
): ReadonlyMap<string, unknown> {
  if (value === null || value === undefined) return new Map();
  if (typeof value !== "object" || Array.isArray(value)) {
    const what = keys.length === 0 ? "the configuration" : keys.join(".");
    return complain(keys, `${what} is ${JSON.stringify(value)}; needed: a mapping`);
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
