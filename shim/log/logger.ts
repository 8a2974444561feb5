import winston from "winston";
import { TailBuffer } from "../vm/console.js";
import { LogFifo } from "./log-fifo.js";
import { formatJson, formatLogfmt, type LogFields } from "./logfmt.js";

/** Names as in winston's npm levels, which are also the configuration's. */
export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = "logfmt" | "json";

/** What the shim's parts log through. */
export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}

/** The last lines of a log, as JSON: see {@link TailBuffer}. */
export type LogHistory = Pick<TailBuffer, "since" | "end">;

/** The shim's logger, whose level and format can change while it runs: the configuration arrives with the first Create. */
export interface ShimLogger extends Logger {
  readonly history: LogHistory;
  setLevel(level: LogLevel): void;
  setFormat(format: LogFormat): void;
}

/** How much of the log is kept for whoever asks the shim. */
const HISTORY_BYTES = 64 * 1024;

/** Logrus' names where they differ: containerd's log is read by its tools. */
const LOGRUS_LEVEL: Readonly<Record<string, string>> = { warn: "warning" };

/**
 * Logs to a fifo, in containerd's own format at first. `fields` are on every line.
 *
 * @param path the bundle's `log` fifo
 */
export function createLogger(path: string, level: LogLevel, fields: LogFields): ShimLogger {
  const history = new TailBuffer(HISTORY_BYTES);
  let format = formatLogfmt;
  const logger = winston.createLogger({
    level,
    levels: winston.config.npm.levels,
    format: winston.format.printf(({ level: name, message, ...rest }) => {
      const entry = [
        new Date(),
        LOGRUS_LEVEL[name] ?? name,
        String(message),
        { ...fields, ...(rest as LogFields) },
      ] as const;
      history.append(Buffer.from(`${formatJson(...entry)}\n`));
      return format(...entry);
    }),
    transports: [new winston.transports.Stream({ stream: new LogFifo(path), eol: "\n" })],
  });
  /** winston formats what it then leaves out. */
  const at = (name: LogLevel) => (message: string, more?: LogFields) => {
    if (logger.isLevelEnabled(name)) logger.log(name, message, more);
  };
  return {
    ...{ history, error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") },
    setLevel(next) {
      logger.level = next;
    },
    setFormat(next) {
      format = next === "json" ? formatJson : formatLogfmt;
    },
  };
}

/** A logger whose lines all have `fields`. */
export function withFields(logger: Logger, fields: LogFields): Logger {
  return {
    error: (message, more) => logger.error(message, { ...fields, ...more }),
    warn: (message, more) => logger.warn(message, { ...fields, ...more }),
    info: (message, more) => logger.info(message, { ...fields, ...more }),
    debug: (message, more) => logger.debug(message, { ...fields, ...more }),
  };
}
