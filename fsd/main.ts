import { statSync, writeSync } from "node:fs";
import { flushCompileCache } from "../lib/compile-cache.js";
import { nodeLoopFd, startThreadPool, turnNodeLoop } from "../lib/sys/node-loop.js";
import { SYSLOG_PATH } from "../lib/sys/syslog.js";
import { limitDescriptors } from "./descriptor-limit.js";
import { DeviceMemory } from "./device-memory.js";
import { EventLoop } from "./event-loop.js";
import type { FsdLog } from "./fuse/fuse-server.js";
import { type ListeningSocket, listenForFrontEnd, listenForService } from "./listen.js";
import { createLog, print } from "./log.js";
import { deviceName } from "./options/device-options.js";
import { OptionsError } from "./options/error.js";
import { type FsdAction, type FsdOptions, parseOptions } from "./options/parse.js";
import { usage } from "./options/usage.js";
import { enterSandbox } from "./sandbox/sandbox.js";
import { restartWithoutIoUring } from "./sandbox/without-io-uring.js";
import { Succession, YIELD_SIGNAL } from "./succession.js";
import { VERSION } from "./version.js";

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

/** Set by the launcher to a descriptor, if it will start another worker when this one dies. See fsd/launcher.sh. */
const SOCKETS_VARIABLE = "KATA_FSD_SOCKETS";
/** Set by the launcher to what the worker that died said of itself: see {@link Succession}. */
const LEFT_VARIABLE = "KATA_FSD_LEFT";
/** Set by the launcher to the worker that serves, if this one is to take its place. */
const LIVING_VARIABLE = "KATA_FSD_LIVING";

const ENDING_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/** Runs the daemon to its end. @returns the exit status: 2 for a command line that cannot be followed, 1 for a failure */
async function main(argv: readonly string[]): Promise<number> {
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

  const { [SOCKETS_VARIABLE]: listFd } = process.env;
  if (action.sandbox.seccomp !== "none") restartWithoutIoUring(listFd === undefined ? [] : [Number(listFd)]);

  const log = createLog(action.logLevel, action.syslog ? SYSLOG_PATH : undefined);
  const sockets: ListeningSocket[] = [];
  try {
    await serve(action, sockets, log);
    return 0;
  } catch (error) {
    log.error(error instanceof Error ? error.message : String(error));
    if (error instanceof Error && error.stack !== undefined) log.debug(error.stack);
    return 1;
  } finally {
    removeFiles(sockets, log);
  }
}

/**
 * Serves until the front ends have gone, or a signal asks for the end.
 * @param sockets gets those that the daemon listens on
 */
async function serve(options: FsdOptions, sockets: ListeningSocket[], log: FsdLog): Promise<void> {
  limitDescriptors(options.descriptorsMax, log);
  // Looked at before anyone connects: QEMU would only see a connection that ends.
  for (const { sharedDir } of options.devices) {
    if (!statSync(sharedDir).isDirectory()) throw new Error(`${sharedDir}: not a directory`);
  }
  // Before the sandbox, which takes capabilities from the threads that there are; and before anybody has to wait for this worker.
  if (options.longCallsMax > 0) await startThreadPool(options.longCallsMax * options.devices.length);
  flushCompileCache();
  const {
    [SOCKETS_VARIABLE]: launcherFd,
    [LEFT_VARIABLE]: left = "",
    [LIVING_VARIABLE]: living,
  } = process.env;
  const succession =
    launcherFd === undefined
      ? undefined
      : new Succession(left, options.devices, living === undefined ? undefined : Number(living));
  const isInherited = succession?.isInherited === true;
  if (!isInherited) {
    sockets.push(listenForService(options.metricsSocket), listenForService(options.eventsSocket));
    for (const { socket } of options.devices) sockets.push(listenForFrontEnd(socket));
    if (succession !== undefined) succession.descriptors = sockets.map(({ fd }) => fd);
    // The launcher removes the files of a daemon that does not see them any more.
    const lines = sockets.map(({ file }) => file?.line ?? "").join("");
    if (launcherFd !== undefined) writeSync(Number(launcherFd), lines);
  }
  const [metricsFd = -1, eventsFd = -1, ...listeningFds] =
    succession?.descriptors ?? sockets.map(({ fd }) => fd);
  const devices = options.devices.map((device, index) => ({
    options: device,
    listeningFd: listeningFds[index] ?? -1,
    ...(succession?.devices[index] ?? { memory: new DeviceMemory(device), repaired: undefined }),
  }));

  let isOver = false;
  for (const signal of ENDING_SIGNALS) {
    process.on(signal, () => {
      log.info(`${signal}: ending`);
      isOver = true;
    });
  }
  // Handlers run between two requests. Everything is left as it is, for the next worker.
  if (succession !== undefined) process.on(YIELD_SIGNAL, () => process.kill(process.pid, "SIGKILL"));
  // Node begins to watch for them when its event loop runs.
  await turnNodeLoop();
  if (launcherFd !== undefined) succession?.provide(Number(launcherFd));
  const sharedDirs = enterSandbox(
    options.sandbox,
    options.devices.map(({ sharedDir: path, readOnly }) => ({ path, readOnly })),
    succession?.left,
  );
  const confined = devices.map((device, index) => ({
    ...device,
    options: { ...device.options, sharedDir: sharedDirs[index] ?? device.options.sharedDir },
  }));
  const loop = new EventLoop(confined, { metricsFd, eventsFd }, nodeLoopFd(), options.longCallsMax, log);
  // What managers of virtiofsd wait for, and ours, too.
  for (const device of isInherited ? [] : options.devices) {
    print(`kata-fsd: ${deviceName(device)}: Waiting for vhost-user socket connection...`);
  }
  try {
    loop.resume();
    const pauseMs = succession?.pauseMs;
    if (pauseMs !== undefined) print(`kata-fsd: version ${VERSION} took over after ${pauseMs.toFixed(1)} ms`);
    while (!isOver && loop.run() === "interrupted") await turnNodeLoop();
  } finally {
    loop.close();
  }
}

function removeFiles(sockets: readonly ListeningSocket[], log: FsdLog): void {
  for (const { file } of sockets) {
    try {
      file?.remove();
    } catch (error) {
      log.warn(`a socket is left: ${error instanceof Error ? error.message : error}`);
    }
  }
}

function show(text: string): number {
  writeSync(1, text);
  return 0;
}

main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
