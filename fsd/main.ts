import { statSync, writeSync } from "node:fs";
import { raiseDescriptorLimit } from "../lib/sys/resource-limit.js";
import { listenUnix } from "../lib/sys/unix-socket.js";
import { EventLoop } from "./event-loop.js";
import type { FsdLog } from "./fuse/server.js";
import { type FsdAction, type LogLevel, OptionsError, parseOptions, USAGE } from "./options.js";
import { VERSION } from "./version.js";

/** Fewer descriptors than this are worth a warning: a large image has as many files. */
const DESCRIPTORS_WANTED = 65_536;

/** Runs the daemon to its end. @returns the exit status: 2 for a command line that cannot be followed, 1 for a failure */
function main(argv: readonly string[]): number {
  let action: FsdAction;
  try {
    action = parseOptions(argv);
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error;
    print(`kata-fsd: ${error.message}; see kata-fsd --help`);
    return 2;
  }
  if (action === "help") return show(USAGE);
  if (action === "version") return show(`kata-fsd ${VERSION}\n`);

  const log = createLog(action.logLevel);
  try {
    // Each inode that the guest knows is a descriptor here.
    const { soft } = raiseDescriptorLimit();
    if (soft < DESCRIPTORS_WANTED)
      log.warn(`RLIMIT_NOFILE is ${soft}: a guest that uses more files gets errors`);
    // Looked at before anyone connects: QEMU would only see a connection that ends.
    for (const { sharedDir } of action.devices) {
      if (!statSync(sharedDir).isDirectory()) throw new Error(`${sharedDir}: not a directory`);
    }
    const metricsFd = action.metricsSocket === undefined ? -1 : listenUnix(action.metricsSocket);
    const listening = action.devices.map((options) => ({
      options,
      listeningFd: listenUnix(options.socketPath),
    }));
    const loop = new EventLoop(listening, metricsFd, log);
    // What managers of virtiofsd wait for, and ours, too.
    for (const { options } of listening) {
      print(`kata-fsd: ${options.tag}: Waiting for vhost-user socket connection on ${options.socketPath}...`);
    }
    loop.run();
    loop.close();
    return 0;
  } catch (error) {
    log.error(error instanceof Error ? error.message : String(error));
    if (error instanceof Error && error.stack !== undefined) log.debug(error.stack);
    return 1;
  }
}

const RANKS: Readonly<Record<LogLevel, number>> = { off: 0, error: 1, warn: 2, info: 3, debug: 4 };

function createLog(level: LogLevel): FsdLog {
  const rank = RANKS[level];
  const writer = (name: Exclude<LogLevel, "off">) => (message: string) => {
    if (RANKS[name] <= rank) print(`kata-fsd: ${name}: ${message}`);
  };
  return { error: writer("error"), warn: writer("warn"), info: writer("info"), debug: writer("debug") };
}

function show(text: string): number {
  writeSync(1, text);
  return 0;
}

/** Writes a line to stderr at once: the event loop that a stream needs does not run. A reader that has gone is no loss. */
function print(line: string): void {
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // Nobody reads: there is no other place to say so.
  }
}

process.exitCode = main(process.argv.slice(2));
