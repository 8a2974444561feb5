import winston from "winston";
import { LogFifo } from "./log-fifo.js";
import { formatLogfmt, type LogFields } from "./logfmt.js";

/** Names as in winston's npm levels, which are also the configuration's. */
export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What the shim's parts log through. */
export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}

/** The shim's logger, whose level can change while it runs: the configuration arrives with the first Create. */
export interface ShimLogger extends Logger {
  setLevel(level: LogLevel): void;
}

/** Logrus' names where they differ: containerd's log is read by its tools. */
const LOGRUS_LEVEL: Readonly<Record<string, string>> = { warn: "warning" };

/**
 * Logs to a fifo in containerd's own format. `fields` are on every line.
 *
 * @param path the bundle's `log` fifo
 */
export function createLogger(path: string, level: LogLevel, fields: LogFields): ShimLogger {
  const logger = winston.createLogger({
    level,
    levels: winston.config.npm.levels,
    format: winston.format.printf(({ level: name, message, ...rest }) =>
      formatLogfmt(new Date(), LOGRUS_LEVEL[name] ?? name, String(message), {
        ...fields,
        ...(rest as LogFields),
      }),
    ),
    transports: [new winston.transports.Stream({ stream: new LogFifo(path), eol: "\n" })],
  });
  return {
    error: (message, more) => void logger.error(message, more),
    warn: (message, more) => void logger.warn(message, more),
    info: (message, more) => void logger.info(message, more),
    debug: (message, more) => void logger.debug(message, more),
    setLevel(next) {
      logger.level = next;
    },
  };
}
