/** What containerd asks of this run of the binary; `help`, `version`, `info` come from flags of the same names. */
export type Action = "start" | "delete" | "help" | "version" | "info";

/** The command line of a shim, as containerd 1.6 to 2.x write it. */
export interface ShimArgs {
  readonly action: Action;
  /** Id of the task; of the sandbox when the task is a pod's first. */
  readonly id: string;
  readonly namespace: string;
  /** containerd's gRPC socket. Only hashed here: it makes the socket names of two containerds differ. */
  readonly address: string;
  readonly publishBinary: string;
  /** Bundle directory, for `delete`; `start` runs in it. */
  readonly bundle: string;
  readonly debug: boolean;
}

/** The command line cannot be used; the message says what was found and what is needed. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const STRING_FLAGS = ["id", "namespace", "address", "publish-binary", "bundle"] as const;
const BOOLEAN_FLAGS = ["debug", "info", "version", "v", "help", "h"] as const;
type StringFlag = (typeof STRING_FLAGS)[number];
type BooleanFlag = (typeof BOOLEAN_FLAGS)[number];

export const USAGE = `usage: containerd-shim-kata-fs-v2 -namespace NS -address SOCKET -id ID [-publish-binary FILE] [-bundle DIR] [-debug] start|delete
       containerd-shim-kata-fs-v2 -info | -version | -help

  start   starts the shim of the bundle in the working directory and prints its address
  delete  ends what is left of the task and prints a DeleteResponse
  -info   prints the runtime's description, a serialized containerd.types.RuntimeInfo
`;

/**
 * Parses flags by the rules of Go's flag package, which containerd relies on: one or two dashes, `-name value` or
 * `-name=value`, booleans alone or `-name=false`, and the first word that is no flag ends them.
 *
 * @throws UsageError
 */
export function parseArgs(argv: readonly string[]): ShimArgs {
  const strings = new Map<StringFlag, string>();
  const booleans = new Map<BooleanFlag, boolean>();
  let next = 0;
  for (; next < argv.length; next++) {
    const word = argv[next] ?? "";
    if (!word.startsWith("-") || word === "-") break;
    if (word === "--") {
      next++;
      break;
    }
    const [, name = "", value] = /^--?([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (isOneOf(BOOLEAN_FLAGS, name)) {
      booleans.set(name, parseBoolean(name, value ?? "true"));
    } else if (isOneOf(STRING_FLAGS, name)) {
      const given = value ?? argv[++next];
      if (given === undefined) throw new UsageError(`flag -${name} needs a value`);
      strings.set(name, given);
    } else {
      const known = [...STRING_FLAGS, ...BOOLEAN_FLAGS].map((flag) => `-${flag}`).join(", ");
      throw new UsageError(`unknown flag ${word}; known flags are ${known}`);
    }
  }

  const is = (flag: BooleanFlag) => booleans.get(flag) === true;
  const words = argv.slice(next);
  const args = {
    id: strings.get("id") ?? "",
    namespace: strings.get("namespace") ?? "",
    address: strings.get("address") ?? "",
    publishBinary: strings.get("publish-binary") ?? "",
    bundle: strings.get("bundle") ?? "",
    debug: is("debug"),
  };
  if (is("help") || is("h")) return { action: "help", ...args };
  if (is("version") || is("v")) return { action: "version", ...args };
  if (is("info")) return { action: "info", ...args };

  const [action, surplus] = words;
  if (action === undefined) throw new UsageError("no action given; it must be start or delete");
  if (action !== "start" && action !== "delete") {
    throw new UsageError(`unknown action "${action}"; it must be start or delete`);
  }
  if (surplus !== undefined) throw new UsageError(`unexpected argument "${surplus}" after ${action}`);
  requireIdentifier("-id", args.id);
  requireIdentifier("-namespace", args.namespace);
  if (args.address === "") throw new UsageError("flag -address is needed: containerd's gRPC socket");
  return { action, ...args };
}

/**
 * Checks an identifier by containerd's rule: letters and digits, joined by single `.`, `_` or `-`, at most 76 characters.
 * Ids become file names, so nothing else may pass.
 *
 * @throws UsageError
 */
export function requireIdentifier(what: string, value: string): void {
  if (value === "") throw new UsageError(`${what} is needed`);
  if (value.length > 76 || !/^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/.test(value)) {
    throw new UsageError(
      `${what} "${value.slice(0, 100)}" is no identifier: letters and digits joined by single . _ or -, at most 76 characters`,
    );
  }
}

function parseBoolean(name: string, value: string): boolean {
  if (/^(1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(value)) return false;
  throw new UsageError(`flag -${name} is true or false, not "${value}"`);
}

function isOneOf<T extends string>(names: readonly T[], name: string): name is T {
  return (names as readonly string[]).includes(name);
}
