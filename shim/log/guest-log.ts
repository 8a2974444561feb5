import type { LogFields } from "./logfmt.js";
import type { Logger, LogLevel } from "./logger.js";
import { withoutStructures } from "./secrets.js";

/** A guest that says more within a second is not listened to for the rest of it. */
export const LINES_PER_SECOND_MAX = 200;
const FIELDS_MAX = 16;
const VALUE_CHARACTERS_MAX = 512;

/** The first letter of a level, of our agent's names and of those of Kata's: "debug" and "DEBG". */
const LEVELS: Readonly<Record<string, LogLevel>> = {
  t: "debug",
  d: "debug",
  i: "info",
  w: "warn",
  e: "error",
  c: "error",
};

/** Of an agent's line, what the shim's own line has already, or nobody asks for. */
const LEFT_OUT = ["msg", "level", "time", "ts", "pid", "version", "source", "name"];

/**
 * Logs what a guest writes to its console: the agent's JSON lines at their own levels with `source=agent`, everything else, which is
 * the kernel's, as `debug` with `source=console`.
 */
export function guestLog(logger: Logger, nowMs: () => number = Date.now): (line: string) => void {
  let second = 0;
  let lines = 0;
  return (line) => {
    const now = Math.floor(nowMs() / 1000);
    if (now !== second) {
      const leftOut = lines - LINES_PER_SECOND_MAX;
      if (leftOut > 0) logger.warn("the guest writes too much to its console", { linesLeftOut: leftOut });
      second = now;
      lines = 0;
    }
    if (++lines > LINES_PER_SECOND_MAX) return;
    const entry = parseAgentLine(line);
    if (entry === undefined) logger.debug(withoutStructures(line), { source: "console" });
    else logger[entry.level](entry.message, { source: "agent", ...entry.fields });
  };
}

/** A line of an agent's log. */
export interface AgentLogEntry {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/** @returns undefined for what no agent has written */
export function parseAgentLine(line: string): AgentLogEntry | undefined {
  if (!line.startsWith("{")) return undefined;
  const entry = parseObject(line);
  const { msg, level } = entry;
  if (typeof msg !== "string" || typeof level !== "string") return undefined;
  const fields: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(entry).slice(0, FIELDS_MAX)) {
    if (LEFT_OUT.includes(key)) continue;
    if (typeof value === "number" || typeof value === "boolean") fields[`agent.${key}`] = value;
    if (typeof value === "string") fields[`agent.${key}`] = harmless(value);
  }
  return { level: LEVELS[level.slice(0, 1).toLowerCase()] ?? "info", message: harmless(msg), fields };
}

function harmless(text: string): string {
  return withoutStructures(text.replaceAll(/\s+/g, " ").slice(0, VALUE_CHARACTERS_MAX));
}

function parseObject(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    // A line of the kernel's, or one that was cut, may begin with a brace, too.
    return {};
  }
}
