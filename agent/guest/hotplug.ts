import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { hasErrno } from "../../lib/sys/errno.js";
import { AgentError } from "../error.js";

const CPUS = "/sys/devices/system/cpu";
const MEMORY = "/sys/devices/system/memory";

/** How long plugged processors may take to be seen: the kernel hears of them by an interrupt. */
const CPU_LIMIT_MS = 5_000;
const RETRY_MS = 20;

/**
 * Brings processors online until there are `total`, waiting for those that have just been plugged in.
 *
 * @throws AgentError when they do not come
 */
export async function onlineCpus(total: number): Promise<void> {
  const deadline = performance.now() + CPU_LIMIT_MS;
  for (;;) {
    // The first one cannot be taken offline and has no such file.
    for (const cpu of readdirSync(CPUS).filter((name) => /^cpu\d+$/.test(name)))
      setIf(join(CPUS, cpu, "online"), "0", "1");
    const count = countCpus(readFileSync(join(CPUS, "online"), "utf8"));
    if (count >= total) return;
    if (performance.now() > deadline) {
      throw new AgentError("INTERNAL", `${count} processors are online, and not ${total}`);
    }
    await delay(RETRY_MS);
  }
}

/** How many a list such as "0-3,8" names: cpuset(7), "List format". */
function countCpus(list: string): number {
  return [...list.matchAll(/(\d+)(?:-(\d+))?/g)].reduce(
    (count, [, first, last = first]) => count + Number(last) - Number(first) + 1,
    0,
  );
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

/** Tells the kernel of memory that no firmware tells it of, block by block. */
export function probeMemory(addresses: readonly number[]): void {
  for (const address of addresses) writeFileSync(join(MEMORY, "probe"), `0x${address.toString(16)}`);
}

function setIf(file: string, expected: string, value: string): void {
  const isExpected = () => readFileSync(file, "utf8").trim() === expected;
  if (!existsSync(file) || !isExpected()) return;
  try {
    writeFileSync(file, value);
  } catch (error) {
    // A kernel that brings memory online by itself has done so meanwhile.
    if (!hasErrno(error, "EINVAL") || isExpected()) throw error;
  }
}
