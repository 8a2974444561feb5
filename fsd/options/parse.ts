import { type DeviceOptions, deviceOptions } from "./device-options.js";
import { OptionsError } from "./error.js";
import { FLAGS, type FlagName } from "./flags.js";
import { type GivenOptions, parseArguments } from "./grammar.js";
import { translateLegacyOptions } from "./legacy.js";
import { oneOf, parseCount } from "./values.js";

export type LogLevel = "error" | "warn" | "info" | "debug" | "trace" | "off";
export type SandboxMode = "namespace" | "chroot" | "none";
export type SeccompAction = "kill" | "log" | "trap" | "none";

/** A capability that --modcaps adds to those that are kept, or takes away: its name as in linux/capability.h, without CAP_. */
export interface CapabilityChange {
  readonly capability: string;
  readonly isKept: boolean;
}

export interface SandboxOptions {
  readonly mode: SandboxMode;
  readonly seccomp: SeccompAction;
  /** In the order in which they were given. */
  readonly capabilities: readonly CapabilityChange[];
}

export interface FsdOptions {
  readonly devices: readonly DeviceOptions[];
  readonly sandbox: SandboxOptions;
  /** 0: leave the limit as it is. undefined: as many as are useful and possible. */
  readonly descriptorsMax: number | undefined;
  readonly metricsSocket: string | undefined;
  readonly eventsSocket: string | undefined;
  readonly logLevel: LogLevel;
  readonly syslog: boolean;
  /** Of each device: how many system calls that take long are made on other threads at a time. */
  readonly longCallsMax: number;
}

/** What the command line asks for instead of serving. */
export type FsdAction = FsdOptions | "help" | "version" | "capabilities";

const LOG_LEVELS: readonly LogLevel[] = ["error", "warn", "info", "debug", "trace", "off"];
const SANDBOX_MODES: readonly SandboxMode[] = ["namespace", "chroot", "none"];
const SECCOMP_ACTIONS: readonly SeccompAction[] = ["none", "kill", "log", "trap"];
const DESCRIPTORS_MAX = 2 ** 31 - 1;
const THREADS_MAX = 2 ** 16;
const THREADS_PRESET = 4;

type Given = GivenOptions<FlagName>;

/**
 * What a command line asks for. It looks at nothing but the command line.
 * @throws OptionsError
 */
export function parseOptions(argv: readonly string[]): FsdAction {
  const groups = splitAt(argv, "--device").map(parseGroup);
  const whole = parseGroup(argv);
  if (whole.has("help")) return "help";
  if (whole.has("version")) return "version";
  if (whole.has("print-capabilities")) return "capabilities";
  const devices = groups.map(deviceOptions);
  requireDistinct(
    devices.map((device) => device.tag),
    "tag",
  );
  requireDistinct(
    devices.map(({ socket }) => ("fd" in socket ? `descriptor ${socket.fd}` : socket.path)),
    "socket",
  );
  return {
    devices,
    sandbox: sandboxOptions(whole),
    descriptorsMax: optionalCount(whole, "rlimit-nofile", DESCRIPTORS_MAX),
    metricsSocket: whole.text("metrics-socket"),
    eventsSocket: whole.text("events-socket"),
    logLevel: whole.has("d") ? "debug" : oneOf("log-level", whole.text("log-level") ?? "info", LOG_LEVELS),
    syslog: whole.has("syslog"),
    longCallsMax: optionalCount(whole, "thread-pool-size", THREADS_MAX) ?? THREADS_PRESET,
  };
}

/** The options of a part of the command line, with what stands for `-o` in its place. */
function parseGroup(argv: readonly string[]): Given {
  const given = parseArguments(argv, FLAGS);
  if (!given.has("o")) return given;
  return parseArguments([...given.all("o").flatMap(translateLegacyOptions), ...argv], FLAGS);
}

function sandboxOptions(given: Given): SandboxOptions {
  const mode = oneOf("sandbox", given.text("sandbox") ?? "namespace", SANDBOX_MODES);
  return {
    mode,
    seccomp: oneOf("seccomp", given.text("seccomp") ?? "kill", SECCOMP_ACTIONS),
    capabilities: capabilityChanges(given.text("modcaps")),
  };
}

function capabilityChanges(text: string | undefined): CapabilityChange[] {
  if (text === undefined) return [];
  return text.split(":").map((word) => {
    const [, sign, name] = /^([+-])(?:cap_)?([a-z_]+)$/i.exec(word) ?? [];
    if (name === undefined) {
      throw new OptionsError(
        `--modcaps=${text}: capabilities with + or - and a colon between them are needed, such as +sys_admin:-mknod`,
      );
    }
    return { capability: name.toUpperCase(), isKept: sign === "+" };
  });
}

function optionalCount(given: Given, name: FlagName, most: number): number | undefined {
  const text = given.text(name);
  return text === undefined ? undefined : parseCount(name, text, 0, most);
}

function requireDistinct(values: readonly (string | undefined)[], what: string): void {
  const repeated = values.find((value, index) => value !== undefined && values.indexOf(value) !== index);
  if (repeated !== undefined) throw new OptionsError(`two devices have the ${what} ${repeated}`);
}

function splitAt(words: readonly string[], separator: string): string[][] {
  const groups: string[][] = [[]];
  for (const word of words) {
    if (word === separator) groups.push([]);
    else groups.at(-1)?.push(word);
  }
  return groups;
}
