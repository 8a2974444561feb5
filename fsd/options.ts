import { type ParseArgsConfig, parseArgs } from "node:util";
import { TAG_BYTES_MAX } from "./virtio-fs-config.js";

export type Cache = "auto" | "always" | "never" | "metadata";
export type Dax = "always" | "inode" | "never";
export type LogLevel = "error" | "warn" | "info" | "debug" | "off";

/** One device: a socket, and what is behind it. */
export interface DeviceOptions {
  readonly socketPath: string;
  readonly sharedDir: string;
  readonly tag: string;
  readonly readOnly: boolean;
  readonly cache: Cache;
  readonly dax: Dax;
  /** A power of two. */
  readonly daxWindowBytes: number;
  readonly daxThresholdBytes: number;
  /** Mounts below the shared directory whose content never changes, as patterns of paths. */
  readonly immutableMounts: readonly string[];
}

export interface FsdOptions {
  readonly devices: readonly DeviceOptions[];
  readonly metricsSocket: string | undefined;
  readonly logLevel: LogLevel;
}

/** What the command line asks for instead of serving. */
export type FsdAction = FsdOptions | "help" | "version";

/** A command line that cannot be followed: what was found, what is possible. */
export class OptionsError extends Error {
  override readonly name = "OptionsError";
}

const CACHE: readonly Cache[] = ["auto", "always", "never", "metadata"];
const DAX: readonly Dax[] = ["always", "inode", "never"];
const LOG_LEVELS: readonly LogLevel[] = ["error", "warn", "info", "debug", "off"];
/** Most maps that a window may have: QEMU aborts at 512 regions in all. */
const DAX_WINDOW_BYTES_MAX = 2 ** 29;
const DAX_RANGE_BYTES = 2 ** 21;
const DEFAULT_TAG = "myfs";

export const USAGE = `Usage: kata-fsd --socket-path PATH --shared-dir DIR [OPTIONS] [--device --socket-path PATH …]

Serves a directory to a virtual machine as a virtio-fs device. QEMU or another front end connects to the socket;
the daemon ends when it disconnects. Each --device begins the options of a further device of the same daemon.

  --socket-path PATH       UNIX socket to listen on
  --shared-dir DIR         directory that the guest sees (default: /)
  --tag TAG                name by which the guest mounts it, at most ${TAG_BYTES_MAX} bytes (default: ${DEFAULT_TAG})
  --readonly               refuse every change
  --cache MODE             auto, always, metadata or never: how long the guest may keep names and attributes (default: auto)
  --dax MODE               inode: map large files of read-only mounts into the guest; always: map every file, with
                           --readonly only; never (default)
  --dax-window SIZE        size of the guest's window for mapped files, a power of two such as 256M (default: 256M)
  --dax-threshold SIZE     with --dax inode: smallest file that is mapped (default: 128K)
  --immutable-mount GLOB   mount below the directory whose content never changes, so that the guest may cache it without
                           limit; repeatable; a path relative to the directory in which * is any one component
  --metrics-socket PATH    UNIX socket that answers each connection with the counters, as JSON
  --log-level LEVEL        error, warn, info, debug or off (default: info)
  --help, --version
`;

const DEVICE_FLAGS = {
  "socket-path": { type: "string" },
  "shared-dir": { type: "string" },
  tag: { type: "string" },
  readonly: { type: "boolean" },
  cache: { type: "string" },
  dax: { type: "string" },
  "dax-window": { type: "string" },
  "dax-threshold": { type: "string" },
  "immutable-mount": { type: "string", multiple: true },
} as const satisfies ParseArgsConfig["options"];

const FLAGS = {
  ...DEVICE_FLAGS,
  "metrics-socket": { type: "string" },
  "log-level": { type: "string" },
  help: { type: "boolean" },
  version: { type: "boolean" },
} as const satisfies ParseArgsConfig["options"];

/** @throws OptionsError */
export function parseOptions(argv: readonly string[]): FsdAction {
  const groups = splitAt(argv, "--device").map(parseGroup);
  if (groups.some((group) => group.help === true)) return "help";
  if (groups.some((group) => group.version === true)) return "version";
  const devices = groups.map(deviceOptions);
  requireDistinct(
    devices.map((device) => device.tag),
    "tag",
  );
  requireDistinct(
    devices.map((device) => device.socketPath),
    "socket path",
  );
  return {
    devices,
    metricsSocket: groups.map((group) => group["metrics-socket"]).find((path) => path !== undefined),
    logLevel: oneOf(
      "log-level",
      groups.map((group) => group["log-level"]).find(Boolean) ?? "info",
      LOG_LEVELS,
    ),
  };
}

/** "256M" → 268435456; K, M and G are powers of 1024. @throws OptionsError */
export function parseSize(name: string, text: string): number {
  const [, digits, unit] = /^(\d{1,12})([KMG]?)$/.exec(text) ?? [];
  if (digits === undefined) throw new OptionsError(`--${name}=${text}: not a size such as 128K, 256M or 1G`);
  return Number(digits) * 1024 ** ["", "K", "M", "G"].indexOf(unit ?? "");
}

type Group = ReturnType<typeof parseGroup>;

function parseGroup(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    // The message of parseArgs names the option that it does not know or that lacks its value.
    throw new OptionsError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function deviceOptions(group: Group): DeviceOptions {
  const socketPath = group["socket-path"];
  if (socketPath === undefined) throw new OptionsError("--socket-path is missing");
  const tag = group.tag ?? DEFAULT_TAG;
  const tagBytes = Buffer.byteLength(tag);
  if (tagBytes === 0 || tagBytes > TAG_BYTES_MAX) {
    throw new OptionsError(`--tag=${tag}: ${tagBytes} bytes; 1 to ${TAG_BYTES_MAX} are possible`);
  }
  const readOnly = group.readonly ?? false;
  const dax = oneOf("dax", group.dax ?? "never", DAX);
  if (dax === "always" && !readOnly) {
    throw new OptionsError("--dax=always needs --readonly: files that the guest may write to are not mapped");
  }
  const daxWindowBytes = parseSize("dax-window", group["dax-window"] ?? "256M");
  const isPowerOfTwo = Number.isInteger(Math.log2(daxWindowBytes));
  if (!isPowerOfTwo || daxWindowBytes < DAX_RANGE_BYTES || daxWindowBytes > DAX_WINDOW_BYTES_MAX) {
    throw new OptionsError(`--dax-window=${group["dax-window"]}: a power of two from 2M to 512M is needed`);
  }
  return {
    socketPath,
    sharedDir: group["shared-dir"] ?? "/",
    tag,
    readOnly,
    cache: oneOf("cache", group.cache ?? "auto", CACHE),
    dax,
    daxWindowBytes,
    daxThresholdBytes: parseSize("dax-threshold", group["dax-threshold"] ?? "128K"),
    immutableMounts: group["immutable-mount"] ?? [],
  };
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw new OptionsError(`--${name}=${value}: possible are ${allowed.join(", ")}`);
  return found;
}

function requireDistinct(values: readonly string[], what: string): void {
  const repeated = values.find((value, index) => values.indexOf(value) !== index);
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
