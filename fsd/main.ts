import { statSync, writeSync } from "node:fs";
import { raiseDescriptorLimit } from "../lib/sys/resource-limit.js";
import { listenUnix } from "../lib/sys/unix-socket.js";
import { EventLoop } from "./event-loop.js";
import { listenForFrontEnd } from "./listen.js";
import { createLog, print } from "./log.js";
import { deviceName } from "./options/device-options.js";
import { OptionsError } from "./options/error.js";
import { type FsdAction, parseOptions } from "./options/parse.js";
import { usage } from "./options/usage.js";
import { VERSION } from "./version.js";

/** Fewer descriptors than this are worth a warning: a large image has as many files. */
const DESCRIPTORS_WANTED = 65_536;

/** What libvirt wants to know of a back end (docs/interop/vhost-user.json of QEMU): that it takes options one by one, not by -o. */
const CAPABILITIES = `{
  "type": "fs",
  "features": [
    "posix-acl-negotiation-mode",
    "security-label-negotiation-mode",
    "separate-options"
  ]
}
`;

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
  if (action === "help") return show(usage());
  if (action === "version") return show(`kata-fsd ${VERSION}\n`);
  if (action === "capabilities") return show(CAPABILITIES);

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
      listeningFd: listenForFrontEnd(options.socket),
    }));
    const loop = new EventLoop(listening, metricsFd, log);
    // What managers of virtiofsd wait for, and ours, too.
    for (const { options } of listening) {
      print(`kata-fsd: ${deviceName(options)}: Waiting for vhost-user socket connection...`);
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

function show(text: string): number {
  writeSync(1, text);
  return 0;
}

process.exitCode = main(process.argv.slice(2));
