import { readdirSync, readFileSync } from "node:fs";
import { readProcessMemory } from "../lib/process-files.js";

const BYTES_PER_MIB = 1024 * 1024;

/** Proportional memory (PSS) of a process in MiB: what it shares counts by the number of those it shares it with. */
export function pssMib(pid: number): number {
  return readProcessMemory(pid).proportionalBytes / BYTES_PER_MIB;
}

/** The processes of one sandbox. */
export interface SandboxProcesses {
  readonly shim: number;
  readonly daemon: number;
  readonly qemu: number;
}

/** How each is told by the words of its command line. */
const IS: Readonly<Record<keyof SandboxProcesses, (words: readonly string[], pid: number) => boolean>> = {
  shim: (words) => words.some((word) => word.endsWith("/shim.cjs")) && words.at(-1) === "start",
  // The process itself, not those that wait for it outside its namespaces, nor the one that keeps what it has open.
  daemon: (words, pid) => words[1]?.endsWith("/fsd.cjs") === true && nameOf(pid) !== "kata-fsd-keeper",
  qemu: (words) => words.some((word) => word.endsWith("/qemu-system-x86_64")),
};

/** Finds a process of a sandbox, if it runs. */
export function findProcess(sandboxId: string, what: keyof SandboxProcesses): number | undefined {
  return readdirSync("/proc")
    .map(Number)
    .filter(Number.isInteger)
    .find((pid) => {
      const words = wordsOf(pid);
      return words.some((word) => word.includes(sandboxId)) && IS[what](words, pid);
    });
}

/** All processes of a sandbox. @throws Error when one is missing */
export function processesOf(sandboxId: string): SandboxProcesses {
  const find = (what: keyof SandboxProcesses) => {
    const pid = findProcess(sandboxId, what);
    if (pid === undefined) throw new Error(`sandbox ${sandboxId} has no ${what}`);
    return pid;
  };
  return { shim: find("shim"), daemon: find("daemon"), qemu: find("qemu") };
}

function wordsOf(pid: number): string[] {
  return readProcFile(pid, "cmdline").split("\0").slice(0, -1);
}

function nameOf(pid: number): string {
  return readProcFile(pid, "comm").trim();
}

function readProcFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return ""; // It has ended meanwhile.
  }
}
