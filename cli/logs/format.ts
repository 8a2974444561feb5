import { formatLogfmt, type LogFields } from "../../shim/log/logfmt.js";
import { printable } from "../printable.js";

/** What colours a line on a terminal: SGR parameters (ECMA-48, 8.3.117). */
const COLOURS: Readonly<Record<string, string>> = { error: "31", warning: "33", debug: "2" };

/** Which lines of a log are wanted. */
export interface LogFilter {
  readonly container?: string | undefined;
}

/**
 * Lines of a shim's history, which are JSON, as they are or as logfmt.
 *
 * @param text whole lines; where the shim's memory began in the middle of one, what is left of that is passed over
 */
export function formatHistory(
  text: string,
  style: "json" | "plain" | "coloured",
  { container }: LogFilter = {},
): string {
  return text
    .split("\n")
    .map(parseEntry)
    .filter((entry) => entry !== undefined)
    .filter(({ fields }) => container === undefined || fields["container"] === container)
    .map((entry) => `${style === "json" ? entry.line : asLogfmt(entry, style === "coloured")}\n`)
    .join("");
}

interface Entry {
  readonly line: string;
  readonly time: Date;
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields;
}

function asLogfmt({ time, level, message, fields }: Entry, isColoured: boolean): string {
  const line = printable(formatLogfmt(time, level, message, fields));
  const colour = COLOURS[level];
  return isColoured && colour !== undefined ? `\u001b[${colour}m${line}\u001b[0m` : line;
}

function parseEntry(line: string): Entry | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const { time, level, msg, ...fields } = JSON.parse(line);
    return { line, time: new Date(time), level: String(level), message: String(msg), fields };
  } catch {
    // The rest of a line that begins with a brace by chance.
    return undefined;
  }
}
