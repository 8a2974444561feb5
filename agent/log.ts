import { writeSync } from "node:fs";

/** Names as in the kernel parameter agent.log, least severe first. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "critical"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What goes with a message: values that JSON can hold, or an Error, of which the message is kept. */
export type LogFields = Readonly<Record<string, unknown>>;

const STDOUT = 1;

let threshold = LOG_LEVELS.indexOf("info");

/** Messages below `level` are dropped from here on. */
export function setLogLevel(level: LogLevel): void {
  threshold = LOG_LEVELS.indexOf(level);
}

/**
 * Writes one JSON line to standard output, which in a guest is its console. Synchronous, so that the last line before
 * power-off or a crash gets out.
 */
export function log(level: LogLevel, message: string, fields: LogFields = {}): void {
  if (LOG_LEVELS.indexOf(level) < threshold) return;
  const line = JSON.stringify(
    { time: new Date().toISOString(), level, msg: message, ...fields },
    textOfErrors,
  );
  try {
    writeSync(STDOUT, `${line}\n`);
  } catch {
    // A console that takes no more text must not take the sandbox down.
  }
}

function textOfErrors(_key: string, value: unknown): unknown {
  return value instanceof Error ? value.message : value;
}
