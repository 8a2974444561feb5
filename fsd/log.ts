import { writeSync } from "node:fs";
import { Severity, type SeverityNumber, Syslog } from "../lib/sys/syslog.js";
import type { FsdLog } from "./fuse/fuse-server.js";
import type { LogLevel } from "./options/parse.js";

const RANKS: Readonly<Record<LogLevel, number>> = { off: 0, error: 1, warn: 2, info: 3, debug: 4, trace: 5 };

type LineLevel = Exclude<LogLevel, "off">;

const SEVERITIES: Readonly<Record<LineLevel, SeverityNumber>> = {
  error: Severity.error,
  warn: Severity.warning,
  info: Severity.informational,
  debug: Severity.debug,
  trace: Severity.debug,
};

/**
 * Lines of at least the importance of `level`.
 * @param syslogPath where the machine's log listens; without it, and where nobody listens there, lines go to stderr
 */
export function createLog(level: LogLevel, syslogPath?: string): FsdLog {
  if (syslogPath === undefined)
    return linesTo((name, message) => print(`kata-fsd: ${name}: ${message}`), level);
  try {
    const syslog = Syslog.connect("kata-fsd", syslogPath);
    return linesTo((name, message) => syslog.send(SEVERITIES[name], message), level);
  } catch (error) {
    const log = createLog(level);
    log.warn(`no syslog, so stderr is used: ${error instanceof Error ? error.message : error}`);
    return log;
  }
}

function linesTo(write: (name: LineLevel, message: string) => void, level: LogLevel): FsdLog {
  const rank = RANKS[level];
  const writer = (name: LineLevel) => (message: string) => {
    if (RANKS[name] <= rank) write(name, message);
  };
  const log = { error: writer("error"), warn: writer("warn"), info: writer("info"), debug: writer("debug") };
  return level === "trace" ? { ...log, trace: writer("trace") } : log;
}

/** Writes a line to stderr at once: the event loop that a stream needs does not run. A reader that has gone is no loss. */
export function print(line: string): void {
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // Nobody reads: there is no other place to say so.
  }
}
