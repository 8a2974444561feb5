import { type ClientRule, NameMap, type ServerRule, Verdict, XATTR_NAME_MAX } from "./name-map.js";

/** Rules that cannot be followed: which one, and why. */
export class XattrMapError extends Error {
  override readonly name = "XattrMapError";
}

const RULE_TYPES = ["prefix", "ok", "bad", "unsupported", "map"] as const;
const SCOPES = ["client", "server", "all"] as const;
type RuleType = (typeof RULE_TYPES)[number];
type Scope = (typeof SCOPES)[number];

/** One rule of virtiofsd's --xattrmap: its doc/xattr-mapping.md. */
interface Rule {
  readonly type: Exclude<RuleType, "map">;
  readonly scope: Scope;
  /** How names of the guest begin that it is about. */
  readonly key: Uint8Array;
  /** How names of the host begin that it is about; with "prefix" put before the guest's names. */
  readonly prepend: Uint8Array;
}

/**
 * Reads the rules of --xattrmap, `:type:scope:key:prepend:` or `:map:key:prepend:` each, with any separator and white space
 * between them. virtiofsd ends when it meets a name that no rule matches; here rules that leave such names are refused.
 *
 * @throws XattrMapError
 */
export function parseXattrMap(text: string): NameMap {
  const rules = parseRules(text);
  requireCatchAll(rules, "client", ({ key }) => key);
  requireCatchAll(rules, "server", ({ prepend }) => prepend);
  return new NameMap(rules.flatMap(clientRule), rules.flatMap(serverRule));
}

function parseRules(text: string): Rule[] {
  const rules: Rule[] = [];
  let position = 0;
  let number = 0;
  const skipSpace = () => {
    while (/\s/.test(text.charAt(position))) position++;
  };
  for (skipSpace(); position < text.length; skipSpace()) {
    number++;
    const separator = String.fromCodePoint(text.codePointAt(position) ?? 0);
    position += separator.length;
    const field = (what: string): string => {
      const end = text.indexOf(separator, position);
      if (end < 0)
        throw new XattrMapError(`rule ${number}: "${separator}" is missing at the end of its ${what}`);
      const value = text.slice(position, end);
      position = end + separator.length;
      return value;
    };
    const type = oneOf(RULE_TYPES, field("type"), `rule ${number}: the type`);
    const scope = type === "map" ? "all" : oneOf(SCOPES, field("scope"), `rule ${number}: the scope`);
    const key = nameBytes(field("key"), number);
    const prepend = nameBytes(field("prefix"), number);
    if (type !== "map") {
      rules.push({ type, scope, key, prepend });
      continue;
    }
    skipSpace();
    if (position < text.length)
      throw new XattrMapError(`rule ${number}: behind a rule of the type map there can be no other`);
    rules.push(...expandMap(key, prepend));
  }
  if (rules.length === 0) throw new XattrMapError("there is no rule");
  return rules;
}

/** The rules that `:map:key:prepend:` stands for. */
function expandMap(key: Uint8Array, prepend: Uint8Array): Rule[] {
  const everything = new Uint8Array(0);
  const renames: Rule = { type: "prefix", scope: "all", key, prepend };
  if (key.length === 0) {
    return [renames, { type: "bad", scope: "all", key: everything, prepend: everything }];
  }
  return [
    renames,
    // The guest must not reach the renamed ones by their names on the host, nor see what has the guest's names there.
    { type: "bad", scope: "all", key: prepend, prepend: key },
    { type: "ok", scope: "all", key: everything, prepend: everything },
  ];
}

function clientRule({ type, scope, key, prepend }: Rule): ClientRule[] {
  if (scope === "server") return [];
  switch (type) {
    case "prefix":
      return [{ match: key, verdict: Verdict.renamed, prepend }];
    case "ok":
      return [{ match: key, verdict: Verdict.pass }];
    case "bad":
      return [{ match: key, verdict: Verdict.denied }];
    case "unsupported":
      return [{ match: key, verdict: Verdict.unsupported }];
  }
}

function serverRule({ type, scope, prepend }: Rule): ServerRule[] {
  if (scope === "client") return [];
  if (type === "prefix") return [{ match: prepend, show: true, strip: prepend.length }];
  return [{ match: prepend, show: type === "ok" }];
}

function requireCatchAll(rules: readonly Rule[], side: Scope, matched: (rule: Rule) => Uint8Array): void {
  const isCaught = rules.some(
    (rule) => (rule.scope === side || rule.scope === "all") && matched(rule).length === 0,
  );
  if (isCaught) return;
  const last = side === "client" ? ":bad:client:::" : ":bad:server:::";
  throw new XattrMapError(
    `some names of the ${side} match no rule: a last one must match all, such as ${last} or :ok:all:::`,
  );
}

function nameBytes(text: string, number: number): Uint8Array {
  if (text.includes("\0")) throw new XattrMapError(`rule ${number}: a name cannot hold a NUL`);
  const bytes = Buffer.from(text);
  if (bytes.length > XATTR_NAME_MAX)
    throw new XattrMapError(
      `rule ${number}: ${bytes.length} bytes are more than a name has, ${XATTR_NAME_MAX}`,
    );
  return bytes;
}

function oneOf<T extends string>(allowed: readonly T[], value: string, what: string): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined)
    throw new XattrMapError(`${what} is "${value}"; possible are ${allowed.join(", ")}`);
  return found;
}
