import { AgentError } from "./error.js";
import { LOG_LEVELS, type LogLevel } from "./log.js";

/** Where the agent listens. */
export type ServerAddress =
  | { readonly family: "vsock"; readonly cid: number; readonly port: number }
  | { readonly family: "unix"; readonly path: string };

export interface AgentConfig {
  readonly serverAddress: ServerAddress;
  readonly logLevel: LogLevel;
  /** Absolute path of crun. */
  readonly ociRuntime: string;
  /** The OCI runtime's --cgroup-manager. */
  readonly cgroupManager: string;
  /** Whether the host gets a shell of the guest at {@link debugConsolePort}. */
  readonly debugConsole: boolean;
  /** Vsock port of the debug console; as the host knows it, 1026. */
  readonly debugConsolePort: number;
  /** Vsock port at which the host reaches TCP ports of the guest's loopback interface: see port-forward.ts. */
  readonly portForwardPort: number | undefined;
}

export const VMADDR_CID_ANY = 0xffffffff;

/** As the official agent without parameters. */
export const DEFAULT_CONFIG: AgentConfig = {
  serverAddress: { family: "vsock", cid: VMADDR_CID_ANY, port: 1024 },
  logLevel: "info",
  ociRuntime: "/usr/bin/crun",
  cgroupManager: "cgroupfs",
  debugConsole: false,
  debugConsolePort: 1026,
  portForwardPort: undefined,
};

/** Parameter to the change that it makes. */
const PARAMETERS = new Map<string, (value: string) => Partial<AgentConfig>>([
  ["agent.log", (value) => ({ logLevel: parseLogLevel(value) })],
  ["agent.server_addr", (value) => ({ serverAddress: parseServerAddress(value) })],
  ["agent.oci_runtime", (ociRuntime) => ({ ociRuntime })],
  ["agent.cgroup_manager", (cgroupManager) => ({ cgroupManager })],
  ["agent.debug_console", () => ({ debugConsole: true })],
  [
    "agent.debug_console_vport",
    (value) => ({ debugConsolePort: parsePort("agent.debug_console_vport", value) }),
  ],
  [
    "agent.port_forward_vport",
    (value) => ({ portForwardPort: parsePort("agent.port_forward_vport", value) }),
  ],
]);

/**
 * Reads `agent.name=value` parameters, as on a kernel command line. Those of other programs, and the official agent's that
 * this one has no use for, are passed over.
 *
 * @throws AgentError INVALID_ARGUMENT for a value that cannot be meant.
 */
export function parseParameters(parameters: string): AgentConfig {
  const changes = parameters.split(/\s+/).map((parameter) => {
    const [name = "", ...value] = parameter.split("=");
    return PARAMETERS.get(name)?.(value.join("=")) ?? {};
  });
  return Object.assign({}, DEFAULT_CONFIG, ...changes);
}

/**
 * Whether a word is meant for the agent. Of its command line the kernel gives init the words that it does not know, but none with a dot in
 * its name: those might be a module's.
 */
export function isAgentParameter(word: string): boolean {
  return word.startsWith("agent.");
}

/** A port beside the agent's own, also outside of a guest, as the names of a vsock device's UNIX sockets have it. */
export function addressAtPort(serverAddress: ServerAddress, port: number): ServerAddress {
  return serverAddress.family === "vsock"
    ? { ...serverAddress, port }
    : { family: "unix", path: `${serverAddress.path}_${port}` };
}

function parsePort(name: string, value: string): number {
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
  throw new AgentError("INVALID_ARGUMENT", `${name}=${value}: must be a vsock port`);
}

function parseLogLevel(value: string): LogLevel {
  const level = LOG_LEVELS.find((each) => each === value);
  if (level === undefined) {
    throw new AgentError("INVALID_ARGUMENT", `agent.log=${value}: must be one of ${LOG_LEVELS.join(", ")}`);
  }
  return level;
}

/** `vsock://<cid>:<port>`, where -1 is any context id, or `unix://<absolute path>`. */
function parseServerAddress(value: string): ServerAddress {
  const [, cid = "", port = ""] = /^vsock:\/\/(-1|\d{1,10}):(\d{1,10})$/.exec(value) ?? [];
  if (port !== "") {
    return { family: "vsock", cid: cid === "-1" ? VMADDR_CID_ANY : Number(cid), port: Number(port) };
  }
  const [, path = ""] = /^unix:\/\/(\/.+)$/.exec(value) ?? [];
  if (path !== "") return { family: "unix", path };
  throw new AgentError(
    "INVALID_ARGUMENT",
    `agent.server_addr=${value}: must be vsock://<cid>:<port> or unix://<path>`,
  );
}
