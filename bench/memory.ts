import { readdirSync, readFileSync } from "node:fs";

const KIB_PER_MIB = 1024;

/** Proportional memory (PSS) of a process in MiB: what it shares counts by the number of those it shares it with. */
export function pssMib(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const [, kilobytes] = /^Pss: +(\d+) kB$/m.exec(text) ?? [];
  if (kilobytes === undefined) throw new Error(`/proc/${pid}/smaps_rollup has no line Pss`);
  return Number(kilobytes) / KIB_PER_MIB;
}

/** The processes of one sandbox. */
export interface SandboxProcesses {
  readonly shim: number;
  readonly daemon: number;
  readonly qemu: number;
}

/** Finds the processes of a sandbox by what their command lines say. */
export function processesOf(sandboxId: string): SandboxProcesses {
  const commands = readdirSync("/proc")
    .map(Number)
    .filter(Number.isInteger)
    .map((pid) => ({ pid, words: wordsOf(pid) }))
    .filter(({ words }) => words.some((word) => word.includes(sandboxId)));
  const find = (what: string, isIt: (words: readonly string[]) => boolean) => {
    const found = commands.find(({ words }) => isIt(words));
    if (found === undefined) throw new Error(`sandbox ${sandboxId} has no ${what}`);
    return found.pid;
  };
  return {
    shim: find(
      "shim",
      (words) => words.some((word) => word.endsWith("/shim.cjs")) && words.at(-1) === "start",
    ),
    // The process itself, not those that wait for it outside its namespaces.
    daemon: find("daemon", (words) => words[1]?.endsWith("/fsd.cjs") === true),
    qemu: find("QEMU", (words) => words.some((word) => word.endsWith("/qemu-system-x86_64"))),
  };
}

function wordsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch {
    return []; // It has ended meanwhile.
  }
}
