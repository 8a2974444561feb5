/** Values that a log line can carry beside its message. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * One line of logfmt as logrus writes it, which is what containerd's own log holds: `time=… level=… msg=…`, then the fields
 * in their order, without a line feed. No value can break the line.
 */
export function formatLogfmt(time: Date, level: string, message: string, fields: LogFields): string {
  let line = `time="${time.toISOString()}" level=${level} msg=${quote(message)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${key.replaceAll(/[^\w.-]/g, "_")}=${quote(String(value))}`;
  }
  return line;
}

/** JSON's quoting is logrus' quoting for all that matters: quotes, backslashes, control characters. */
function quote(value: string): string {
  return /^[\w./:@^+-]+$/.test(value) ? value : JSON.stringify(value);
}

/** The same as one JSON object, with the names that containerd has for its own lines when it logs JSON. */
export function formatJson(time: Date, level: string, message: string, fields: LogFields): string {
  return JSON.stringify({ ...fields, time: time.toISOString(), level, msg: message });
}
