import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { hasErrno } from "../../lib/sys/errno.js";
import { AgentError } from "../error.js";

/** A block device of this guest. */
export interface Disk {
  readonly major: number;
  readonly minor: number;
}

/** How long a disk that was plugged in may take to be seen. */
const LIMIT_MS = 10_000;
const RETRY_MS = 20;

/**
 * Waits for the disk at an address of SCSI, "target:unit" in decimal, on whichever bus has it.
 *
 * @param sysfs where sysfs is mounted
 * @throws AgentError INVALID_ARGUMENT for something else than an address, INTERNAL when the disk does not come
 */
export async function awaitDisk(address: string, sysfs = "/sys", limitMs = LIMIT_MS): Promise<Disk> {
  const [, target, unit] = /^(\d{1,3}):(\d{1,5})$/.exec(address) ?? [];
  if (target === undefined || unit === undefined) {
    throw new AgentError("INVALID_ARGUMENT", `disk "${address}": not an address of SCSI`);
  }
  const deadline = performance.now() + limitMs;
  for (;;) {
    const disk = diskAt(`0:${target}:${unit}`, sysfs);
    if (disk !== undefined) return disk;
    if (performance.now() > deadline) throw new AgentError("INTERNAL", `disk ${address} has not appeared`);
    lookFor(target, unit, sysfs);
    await delay(RETRY_MS);
  }
}

function diskAt(place: string, sysfs: string): Disk | undefined {
  const devices = join(sysfs, "bus/scsi/devices");
  const device = entries(devices).find((name) => /^\d+:/.test(name) && name.replace(/^\d+:/, "") === place);
  if (device === undefined) return undefined;
  const block = join(devices, device, "block");
  const [name] = entries(block);
  if (name === undefined) return undefined;
  const [major = 0, minor = 0] = readFileSync(join(block, name, "dev"), "utf8")
    .split(":")
    .map(Number);
  return { major, minor };
}

/** Has every bus look at the place: the kernel hears of a disk that comes, but not while the driver is being loaded. */
function lookFor(target: string, unit: string, sysfs: string): void {
  const hosts = join(sysfs, "class/scsi_host");
  for (const host of entries(hosts)) writeFileSync(join(hosts, host, "scan"), `0 ${target} ${unit}`);
}

/** Nothing where the kernel has not come so far. */
function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}
