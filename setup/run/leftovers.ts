import { readdir, readFile } from "node:fs/promises";
import { run } from "../command.js";

/** A process that names one of our directories in its command line. */
export interface LeftoverProcess {
  readonly pid: number;
  readonly command: string;
}

/** The processes, other than this one, whose arguments mention `directory`. */
export async function processesMentioning(directory: string): Promise<LeftoverProcess[]> {
  const found: LeftoverProcess[] = [];
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""); // It has ended meanwhile.
    if (command.includes(directory)) found.push({ pid, command: command.replaceAll("\0", " ").trim() });
  }
  return found;
}

/** The mount points at or below `directory`, the innermost first. */
export async function mountsBelow(directory: string): Promise<string[]> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return parseMountPoints(text)
    .filter((point) => point === directory || point.startsWith(`${directory}/`))
    .reverse();
}

/** Fifth field of each line of mountinfo, see proc(5); blanks and the like are written as octal numbers there. */
export function parseMountPoints(mountinfo: string): string[] {
  return mountinfo
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .map((point) =>
      point.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    );
}

/** Unmounts everything at and below `directory`; returns what had been mounted. */
export async function unmountBelow(directory: string): Promise<string[]> {
  const points = await mountsBelow(directory);
  for (const point of points) await run(["umount", "--lazy", point]);
  return points;
}
