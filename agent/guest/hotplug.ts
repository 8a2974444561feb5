import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const CPUS = "/sys/devices/system/cpu";
const MEMORY = "/sys/devices/system/memory";

/** Brings up to `maxCount` CPUs that were plugged in and are offline; returns how many. */
export function onlineCpus(maxCount: number): number {
  let count = 0;
  for (const cpu of readdirSync(CPUS).filter((name) => /^cpu\d+$/.test(name))) {
    if (count === maxCount) break;
    // The first CPU cannot be taken offline and has no such file.
    if (setIf(join(CPUS, cpu, "online"), "0", "1")) count++;
  }
  return count;
}

/** Brings all memory online that was plugged in. */
export function onlineMemory(): void {
  if (!existsSync(MEMORY)) return;
  for (const block of readdirSync(MEMORY).filter((name) => /^memory\d+$/.test(name))) {
    setIf(join(MEMORY, block, "state"), "offline", "online");
  }
}

/** Bytes of one hot-pluggable block of memory; 0 where the kernel cannot plug memory. */
export function memoryBlockBytes(): number {
  const file = join(MEMORY, "block_size_bytes");
  return existsSync(file) ? Number.parseInt(readFileSync(file, "utf8"), 16) : 0;
}

/** Whether memory that was plugged in has to be announced by hand. */
export function supportsMemoryProbe(): boolean {
  return existsSync(join(MEMORY, "probe"));
}

function setIf(file: string, expected: string, value: string): boolean {
  if (!existsSync(file) || readFileSync(file, "utf8").trim() !== expected) return false;
  writeFileSync(file, value);
  return true;
}
