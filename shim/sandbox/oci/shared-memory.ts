import { statfsSync } from "node:fs";
import { JsonReader } from "./json-reader.js";

/** What Docker, containerd and Kata give where nobody says how much. */
const DEFAULT_BYTES = 64 * 2 ** 20;

const UNITS: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** magic number of tmpfs in statfs(2). */
export const TMPFS_MAGIC = 0x01021994;

/**
 * How large /dev/shm of the sandbox's containers is to be: as large as what the host has made for them, which is mounted there or described.
 *
 * @param config config.json of the container that the sandbox is brought up for
 * @throws ShimError INVALID_ARGUMENT
 */
export function sharedMemoryBytes(config: unknown): number {
  const mounts = JsonReader.of(config, "config.json").objects("mounts");
  const mount = mounts.find((each) => each.text("destination") === "/dev/shm");
  if (mount === undefined) return DEFAULT_BYTES;
  if (mount.text("type") === "tmpfs") return sizeOption(mount.texts("options"));
  return tmpfsBytes(mount.text("source")) ?? DEFAULT_BYTES;
}

/** The size of the tmpfs that `path` lies in; undefined when it lies in none, or in one without a limit. */
export function tmpfsBytes(path: string): number | undefined {
  try {
    const { type, blocks, bsize } = statfsSync(path);
    return type === TMPFS_MAGIC && blocks > 0 ? blocks * bsize : undefined;
  } catch {
    return undefined; // Whoever shows it to the guest says what is wrong with it.
  }
}

/** tmpfs(5): size=, with a unit. One in percent is of the host's memory, and not meant for a guest. */
function sizeOption(options: readonly string[]): number {
  const size = options.find((option) => option.startsWith("size="));
  const [, number, unit = ""] = /^size=(\d+)([kmg]?)$/i.exec(size ?? "") ?? [];
  const bytes = Number(number) * (UNITS[unit.toLowerCase()] ?? 1);
  return bytes > 0 ? bytes : DEFAULT_BYTES;
}
