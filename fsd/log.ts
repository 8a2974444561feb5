import { writeSync } from "node:fs";
import type { FsdLog } from "./fuse/server.js";
import type { LogLevel } from "./options/parse.js";

const RANKS: Readonly<Record<LogLevel, number>> = { off: 0, error: 1, warn: 2, info: 3, debug: 4, trace: 5 };

/** Lines of at least the importance of `level`, to stderr. */
export function createLog(level: LogLevel): FsdLog {
  const rank = RANKS[level];
  const writer = (name: Exclude<LogLevel, "off">) => (message: string) => {
    if (RANKS[name] <= rank) print(`kata-fsd: ${name}: ${message}`);
  };
  return { error: writer("error"), warn: writer("warn"), info: writer("info"), debug: writer("debug") };
}

/** Writes a line to stderr at once: the event loop that a stream needs does not run. A reader that has gone is no loss. */
export function print(line: string): void {
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // Nobody reads: there is no other place to say so.
  }
}
