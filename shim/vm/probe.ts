import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { writeFileAtomically } from "../address.js";
import { timeLimitMs } from "../time-limits.js";
import { DAX_DEVICE } from "./description.js";
import { type QemuCommand, QemuError } from "./qemu-process.js";

/** What an installed QEMU is and can do. */
export interface QemuCapabilities {
  /** Such as "11.1.3". */
  readonly version: string;
  /** Whether it has the device that maps memory of a vhost-user back end into the guest. */
  readonly hasDaxDevice: boolean;
}

/** The first version whose {@link DAX_DEVICE} takes maps from its back end. */
const DAX_SINCE = [11, 1] as const;

/**
 * Asks a QEMU what it can do. That takes a tenth of a second, so the answer is kept in `cacheDirectory` until the files of the
 * command change.
 *
 * @throws QemuError when it cannot be started or is no QEMU
 */
export async function probeQemu(command: QemuCommand, cacheDirectory: string): Promise<QemuCapabilities> {
  const cache = join(cacheDirectory, `.qemu-${fingerprint(command)}.json`);
  const known = readCapabilities(cache);
  if (known !== undefined) return known;
  const [version, hasDaxDevice] = await Promise.all([askVersion(command), askForDaxDevice(command)]);
  const capabilities = { version, hasDaxDevice };
  mkdirSync(cacheDirectory, { recursive: true, mode: 0o700 });
  writeFileAtomically(cache, JSON.stringify(capabilities));
  return capabilities;
}

/** @throws QemuError naming the QEMU that was found and what is needed */
export function requireDax({ version, hasDaxDevice }: QemuCapabilities, { argv }: QemuCommand): void {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isNewEnough = major > DAX_SINCE[0] || (major === DAX_SINCE[0] && minor >= DAX_SINCE[1]);
  if (isNewEnough && hasDaxDevice) return;
  const lack = isNewEnough ? ` without the device ${DAX_DEVICE}` : "";
  const needed = `needed: ${DAX_SINCE.join(".")} or newer with it, or "daemon.dax: off" in the configuration`;
  throw new QemuError(`${argv[0]} is QEMU ${version}${lack}, which has no DAX; ${needed}`);
}

async function askVersion(command: QemuCommand): Promise<string> {
  const text = await run(command, ["-version"]);
  const [, version] = /version (\d+\.\d+\.\d+)/.exec(text) ?? [];
  if (version === undefined) throw new QemuError(`${command.argv[0]} is no QEMU: it says ${firstLine(text)}`);
  return version;
}

async function askForDaxDevice(command: QemuCommand): Promise<boolean> {
  try {
    await run(command, ["-machine", "none", "-device", `${DAX_DEVICE},help`]);
    return true;
  } catch (error) {
    // It says that it knows no such device; whether it runs at all, askVersion finds out.
    if (error instanceof QemuError) return false;
    throw error;
  }
}

async function run({ argv, env }: QemuCommand, args: readonly string[]): Promise<string> {
  const [file = "", ...first] = argv;
  try {
    const options = { env: { ...process.env, ...env }, timeout: timeLimitMs("qemuProbeSeconds") };
    const { stdout } = await promisify(execFile)(file, [...first, ...args], options);
    return stdout;
  } catch (cause) {
    const words = cause instanceof Error && "stderr" in cause ? firstLine(String(cause.stderr)) : "";
    const reason = words === "" && cause instanceof Error ? cause.message : words;
    throw new QemuError(`QEMU cannot be started: ${file}: ${reason}`, { cause });
  }
}

function firstLine(text: string): string {
  return text.trim().split("\n", 1)[0] ?? "";
}

/** Changes with the command, and with each file that it names. */
function fingerprint({ argv, env }: QemuCommand): string {
  const files = [findProgram(argv[0] ?? ""), ...argv.slice(1)].map((word) => {
    if (!isAbsolute(word)) return word;
    const stat = statSync(word, { throwIfNoEntry: false });
    return stat === undefined ? word : [word, stat.size, stat.mtimeMs, stat.ino];
  });
  return createHash("sha256")
    .update(JSON.stringify([files, env]))
    .digest("hex")
    .slice(0, 16);
}

/** Where the system finds a program. */
function findProgram(name: string): string {
  if (name.includes("/")) return name;
  const { PATH = "" } = process.env;
  const candidates = PATH.split(delimiter).map((directory) => join(directory, name));
  return candidates.find((path) => statSync(path, { throwIfNoEntry: false })?.isFile()) ?? name;
}

function readCapabilities(file: string): QemuCapabilities | undefined {
  try {
    const { version, hasDaxDevice } = JSON.parse(readFileSync(file, "utf8"));
    if (typeof version === "string" && typeof hasDaxDevice === "boolean") return { version, hasDaxDevice };
  } catch {
    // Not asked yet; for any other reason QEMU is asked again.
  }
  return undefined;
}
