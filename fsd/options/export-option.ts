import { type ExportOption, POLICY_NAMES, WITHOUT_LIMIT_SECONDS } from "../passthrough/export-policy.js";
import { OptionsError } from "./error.js";

const FORM = "GLOB:POLICY[,KEY=VALUE…]";
const KEYS = ["entry", "attr", "negative", "quiet", "dax", "readonly", "overlay"] as const;
type Key = (typeof KEYS)[number];
type Overrides = Partial<Omit<ExportOption, "pattern" | "policy">>;

/**
 * Parses the value of --export. The glob is a path relative to the shared directory, `/` for the directory itself, in which a component `*` is
 * any one; the policy follows its last colon.
 *
 * @throws OptionsError
 */
export function parseExport(text: string): ExportOption {
  try {
    return parse(text);
  } catch (cause) {
    if (!(cause instanceof OptionsError)) throw cause;
    throw new OptionsError(`--export=${text}: ${cause.message}`, { cause });
  }
}

function parse(text: string): ExportOption {
  const colon = text.lastIndexOf(":");
  if (colon <= 0) throw new OptionsError(`no ${FORM}`);
  const [name = "", ...settings] = text.slice(colon + 1).split(",");
  const policy = POLICY_NAMES.find((candidate) => candidate === name);
  if (policy === undefined) {
    throw new OptionsError(`${quote(name)} is no policy; possible are ${POLICY_NAMES.join(", ")}`);
  }
  return { pattern: parsePattern(text.slice(0, colon)), policy, ...parseSettings(settings) };
}

function parsePattern(glob: string): readonly string[] {
  const components = glob.split("/").filter((component) => component !== "");
  for (const component of components) {
    if (component === "." || component === "..") {
      throw new OptionsError(`${quote(glob)}: a path without . and .. is needed`);
    }
    if (component.includes("*") && component !== "*") {
      throw new OptionsError(`${quote(glob)}: * stands for a whole component only`);
    }
  }
  return components;
}

function parseSettings(settings: readonly string[]): Overrides {
  let overrides: Overrides = {};
  const seen = new Set<Key>();
  for (const setting of settings) {
    const [word = "", value] = setting.split("=", 2);
    const key = KEYS.find((candidate) => candidate === word);
    if (key === undefined) throw new OptionsError(`${quote(word)}: possible are ${KEYS.join(", ")}`);
    if (seen.has(key)) throw new OptionsError(`${key} is given twice`);
    seen.add(key);
    overrides = { ...overrides, ...parseSetting(key, value) };
  }
  return overrides;
}

function parseSetting(key: Key, value: string | undefined): Overrides {
  switch (key) {
    case "entry":
      return { entrySeconds: parseSeconds(key, value) };
    case "attr":
      return { attrSeconds: parseSeconds(key, value) };
    case "negative":
      return { negativeSeconds: parseSeconds(key, value) };
    case "quiet":
      return { quietSeconds: parseSeconds(key, value) };
    case "dax":
      return { dax: parseDax(value) };
    case "readonly":
      if (value !== undefined) throw new OptionsError("readonly has no value");
      return { readOnly: true };
    case "overlay":
      if (value !== undefined) throw new OptionsError("overlay has no value");
      return { overlay: true };
  }
}

/** "2", "0.5" or "forever". */
function parseSeconds(key: string, value: string | undefined): number {
  if (value === "forever") return WITHOUT_LIMIT_SECONDS;
  if (value === undefined || !/^\d{1,9}(\.\d{1,9})?$/.test(value)) {
    throw new OptionsError(`${key}=${value ?? ""}: needed is a number of seconds, or forever`);
  }
  return Number(value);
}

function parseDax(value: string | undefined): boolean | number {
  if (value === "on") return true;
  if (value === "off") return false;
  const [, digits, unit] = /^(\d{1,12})([KMG]?)$/.exec(value ?? "") ?? [];
  if (digits === undefined) {
    throw new OptionsError(`dax=${value ?? ""}: possible are on, off, or the smallest size such as 128K`);
  }
  return Number(digits) * 1024 ** ["", "K", "M", "G"].indexOf(unit ?? "");
}

function quote(text: string): string {
  return JSON.stringify(text);
}
