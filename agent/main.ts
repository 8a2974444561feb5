import { mkdirSync, readFileSync } from "node:fs";
import { createServer, type ServiceTable } from "../lib/ttrpc/index.js";
import { type AgentConfig, addressAtPort, isAgentParameter, parseParameters } from "./config.js";
import { OciRuntime } from "./container/oci-runtime.js";
import { OomEvents } from "./container/oom-events.js";
import { openShell } from "./debug-console.js";
import { powerOff, thisGuest } from "./guest/guest.js";
import { loadModuleGroup } from "./guest/kernel-modules.js";
import { bringLoopbackUp } from "./guest/loopback.js";
import { mountGuestFileSystems, mountProc } from "./guest/mounts.js";
import { listen } from "./listen.js";
import { log, setLogLevel } from "./log.js";
import { forwardPort } from "./port-forward.js";
import { Reaper } from "./reaper.js";
import { Sandbox } from "./sandbox.js";
import { containerMethods } from "./service/container-methods.js";
import { healthMethods } from "./service/health.js";
import { networkMethods } from "./service/network-methods.js";
import { replayMethods } from "./service/replay-methods.js";
import { sandboxMethods } from "./service/sandbox-methods.js";
import { streamMethods } from "./service/stream-methods.js";
import { becomeSubreaper } from "./sys/wait.js";
import { AGENT_VERSION } from "./version.js";
import { warmUp } from "./warm-up.js";

const WORK_DIRECTORY = "/run/kata-agent";

/** How long the answer to DestroySandbox has to leave the guest before the guest ends. */
const FAREWELL_MS = 50;

/** Of the agent's command line in place of parameters: see {@link warmUp}. */
const WARM_UP = "--make-code-cache";

/**
 * The guest's agent. As PID 1 it makes the guest ready and takes its parameters from the kernel's command line. Anywhere else
 * it takes them as arguments, leaves the machine alone, and just ends when its sandbox is destroyed.
 */
function main(args: readonly string[]): void {
  if (args[0] === WARM_UP) {
    warmUp(createServices(parseParameters(""), new Reaper(), true));
    return;
  }
  const isInit = process.pid === 1 && !args.some(isAgentParameter);
  if (isInit) mountProc();
  const config = parseParameters(isInit ? readFileSync("/proc/cmdline", "utf8") : args.join(" "));
  setLogLevel(config.logLevel);
  if (isInit) prepareGuest();
  else becomeSubreaper();
  serve(config, isInit);
}

/** What must be there before the first call can come. */
function prepareGuest(): void {
  mountGuestFileSystems();
  loadModuleGroup("transport");
}

/** What must be there for containers, but need not delay the first answer. */
function finishGuest(): void {
  bringLoopbackUp();
  loadModuleGroup("fileSystems");
}

function serve(config: AgentConfig, isInit: boolean): void {
  mkdirSync(WORK_DIRECTORY, { recursive: true, mode: 0o700 });
  const reaper = new Reaper();
  reaper.start();
  const server = createServer({
    services: createServices(config, reaper, isInit),
    onError: (error, { method }) => log("info", "call failed", { method, error }),
  });
  const { serverAddress, debugConsolePort, portForwardPort } = config;
  listen(serverAddress, (connection) => server.handle(connection));
  if (config.debugConsole) listen(addressAtPort(serverAddress, debugConsolePort), openShell);
  if (portForwardPort !== undefined) listen(addressAtPort(serverAddress, portForwardPort), forwardPort);
  const startMs = Math.round(performance.now());
  log("info", "agent listens", { version: AGENT_VERSION, pid: process.pid, startMs });
}

/** The calls that the agent answers, for one sandbox. Changes nothing until they are called. */
function createServices(config: AgentConfig, reaper: Reaper, isInit: boolean): ServiceTable {
  const { ociRuntime: path, cgroupManager } = config;
  const runtime = new OciRuntime({ path, workDirectory: WORK_DIRECTORY, cgroupManager }, reaper);
  const sandbox = new Sandbox(runtime, thisGuest);
  const oomEvents = new OomEvents();
  const onCreate = isInit ? finishGuest : () => {};
  const onDestroyed = () => void setTimeout(isInit ? powerOff : () => process.exit(0), FAREWELL_MS);
  return {
    "grpc.AgentService": {
      ...sandboxMethods({ sandbox, oomEvents, isInit, onCreate, onDestroyed }),
      ...networkMethods(isInit ? () => loadModuleGroup("network") : () => {}),
      ...containerMethods(sandbox, oomEvents),
      ...streamMethods(sandbox),
    },
    "grpc.Health": healthMethods(),
    "katafs.HostEvents": replayMethods(),
  };
}

/** The death of PID 1 panics the kernel, which at least says why; elsewhere the exit status does. */
process.on("uncaughtException", (error) => {
  log("critical", "agent failed", { error: error.stack });
  process.exit(1);
});

main(process.argv.slice(2));
