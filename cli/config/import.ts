import { readFileSync } from "node:fs";
import { stringify } from "yaml";
import { ConfigError, readSettings } from "../../configs/index.js";
import { parseToml } from "../../configs/toml.js";
import { nearest } from "../../lib/nearest.js";
import { type Output, UsageError } from "../command.js";
import { readOptions } from "../options.js";
import { rulesFor, type Target } from "./kata-keys.js";

/** What became of one key. */
export interface Finding {
  /** As in Kata's file: "hypervisor.qemu.default_memory". */
  readonly key: string;
  readonly value: unknown;
  /**
   * taken: keys of ours say the same. settled: kata-fs does so anyway, or the value asks for nothing. none: there is no counterpart.
   * unknown: Kata's runtimes have no such key that we know of.
   */
  readonly outcome: "taken" | "settled" | "none" | "unknown";
  readonly note: string;
}

export interface Imported {
  /** Section → key → value, as our YAML has them. */
  readonly configuration: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly findings: readonly Finding[];
}

/** `kata-fs config import`: 0 even if something has no counterpart, since that is for the reader to judge. */
export async function importKata(words: readonly string[], output: Output): Promise<number> {
  const { values, positionals } = readOptions(words, { json: { type: "boolean" } });
  const [file, surplus] = positionals;
  if (file === undefined || surplus !== undefined) throw new UsageError("one configuration.toml is needed");
  const imported = translateKata(parseToml(readFileSync(file, "utf8"), file), file);
  if (values.json) {
    output.out(`${JSON.stringify(imported, undefined, 2)}\n`);
    return 0;
  }
  const yaml = `# From ${file} by kata-fs config import.\n${stringify(imported.configuration, { lineWidth: 0 })}`;
  output.out(yaml);
  output.err(formatFindings(imported.findings));
  return 0;
}

/**
 * Translates a parsed configuration.toml, of Kata's Go runtime or of runtime-rs.
 *
 * @throws ConfigError for a file that is for another hypervisor than QEMU, or is none of Kata's, and for a value that no key of ours takes
 */
export function translateKata(toml: object, file: string): Imported {
  requireQemu(toml, file);
  const configuration: Record<string, Record<string, unknown>> = {};
  const findings: Finding[] = [];
  for (const { table, key, value } of keysOf(toml, [])) {
    const { finding, targets } = translateKey(table, key, value);
    findings.push(finding);
    for (const [section, name, translated] of targets) {
      readSettings({ [section]: { [name]: translated } }, () => `${file}: ${table}.${key}`);
      configuration[section] = { ...configuration[section], [name]: translated };
    }
  }
  return { configuration, findings };
}

function translateKey(
  table: string,
  key: string,
  value: unknown,
): { finding: Finding; targets: readonly Target[] } {
  const found = { key: table === "" ? key : `${table}.${key}`, value };
  const rules = rulesFor(table);
  const rule = rules !== undefined && Object.hasOwn(rules, key) ? rules[key] : undefined;
  if (rule === undefined) {
    const known = rules === undefined ? undefined : nearest(key, Object.keys(rules));
    const note =
      known === undefined ? "no such table is known" : `no such key is known; the nearest is ${known}`;
    return { finding: { ...found, outcome: "unknown", note }, targets: [] };
  }
  if (rule.kind === "settled")
    return { finding: { ...found, outcome: "settled", note: rule.why }, targets: [] };
  if (rule.kind === "none") {
    return isNothing(value)
      ? { finding: { ...found, outcome: "settled", note: "it asks for nothing" }, targets: [] }
      : { finding: { ...found, outcome: "none", note: rule.why }, targets: [] };
  }
  const targets = rule.set(value);
  if (targets === undefined) {
    return { finding: { ...found, outcome: "none", note: rule.note ?? "" }, targets: [] };
  }
  if (targets.length === 0) {
    return { finding: { ...found, outcome: "settled", note: "it is kata-fs's default" }, targets };
  }
  const into = targets.map(([section, name]) => `${section}.${name}`).join(", ");
  const note = rule.note === undefined ? into : `${into}; ${rule.note}`;
  return { finding: { ...found, outcome: "taken", note }, targets };
}

/** Kata's files hold many keys with the value that means none. */
function isNothing(value: unknown): boolean {
  return value === false || value === "" || value === 0 || (Array.isArray(value) && value.length === 0);
}

function requireQemu(toml: object, file: string): void {
  const hypervisor: unknown = "hypervisor" in toml ? toml.hypervisor : undefined;
  const names = typeof hypervisor === "object" && hypervisor !== null ? Object.keys(hypervisor) : [];
  if (names.includes("qemu")) return;
  const found =
    names.length === 0 ? "no table [hypervisor.qemu]" : `[hypervisor.${names.join("], [hypervisor.")}]`;
  throw new ConfigError(`${file}: ${found}; needed: a configuration.toml of Kata Containers for QEMU`);
}

function* keysOf(
  table: object,
  path: readonly string[],
): Generator<{ table: string; key: string; value: unknown }> {
  for (const [key, value] of Object.entries(table)) {
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      yield* keysOf(value, [...path, key]);
    else yield { table: path.join("."), key, value };
  }
}

const TITLES: Readonly<Record<Finding["outcome"], string>> = {
  taken: "Taken over",
  none: "Without counterpart",
  unknown: "Unknown",
  settled: "Nothing to do",
};

/** The report, what needs attention last but for what needs none. */
export function formatFindings(findings: readonly Finding[]): string {
  return (["settled", "taken", "unknown", "none"] as const)
    .map((outcome) => ({ outcome, of: findings.filter((finding) => finding.outcome === outcome) }))
    .filter(({ of }) => of.length > 0)
    .map(
      ({ outcome, of }) =>
        `${TITLES[outcome]} (${of.length}):\n` +
        of.map(({ key, value, note }) => `  ${key} = ${JSON.stringify(value)}: ${note}\n`).join(""),
    )
    .join("\n");
}
