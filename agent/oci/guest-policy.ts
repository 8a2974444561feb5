import { AgentError } from "../error.js";
import type { RuntimeNamespace, RuntimeSpec } from "./runtime-spec.js";

/** A configuration as the guest runs it, and what of it is done for the guest as a whole. */
export interface GuestSpec {
  readonly spec: RuntimeSpec;
  /** Kernel parameters by their path below /proc/sys. */
  readonly sysctls: ReadonlyMap<string, string>;
}

/** What decides how a container is embedded in the guest. */
export interface GuestPlacement {
  readonly containerId: string;
  /** A pid namespace to join; absent for one of its own. */
  readonly pidNamespacePath?: string;
}

/**
 * Fits a configuration to the guest. There is one sandbox in a guest, so the guest's own network, IPC and UTS namespaces are
 * the sandbox's: containers stay in them, and kernel parameters are set for all of it, namespaced or not, since they cannot
 * reach beyond this guest. Each container gets a mount and a cgroup namespace, and a pid namespace unless it shares one.
 *
 * @throws AgentError INVALID_ARGUMENT for a kernel parameter whose name leads elsewhere.
 */
export function fitToGuest(original: RuntimeSpec, placement: GuestPlacement): GuestSpec {
  const { hostname: _isTheSandboxes, linux, ...rest } = original;
  const { sysctl = {}, ...linuxRest } = linux;
  return {
    spec: {
      ...rest,
      linux: {
        ...linuxRest,
        cgroupsPath: cgroupPath(linux.cgroupsPath, placement.containerId),
        namespaces: namespaces(linux.namespaces, placement.pidNamespacePath),
      },
    },
    sysctls: new Map(Object.entries(sysctl).map(([key, value]) => [sysctlPath(key), value])),
  };
}

function namespaces(wanted: readonly RuntimeNamespace[], pidNamespacePath?: string): RuntimeNamespace[] {
  const result: RuntimeNamespace[] = [{ type: "mount" }, { type: "cgroup" }];
  result.push(pidNamespacePath === undefined ? { type: "pid" } : { type: "pid", path: pidNamespacePath });
  if (wanted.some(({ type }) => type === "user")) result.push({ type: "user" });
  return result;
}

/** systemd's form "slice:prefix:name" becomes a path too: there is no systemd in the guest. */
function cgroupPath(wanted: string | undefined, containerId: string): string {
  const path = (wanted ?? "").replaceAll(":", "/");
  const parts = path.split("/").filter((part) => part !== "" && part !== "." && part !== "..");
  return parts.length === 0 ? `/${containerId}` : `/${parts.join("/")}`;
}

/** sysctl(8): dots separate, unless the first separator is a slash; then dots belong to names ("net/ipv4/conf/eth0.1/…"). */
function sysctlPath(key: string): string {
  const separator = key.indexOf("/");
  const usesSlashes = separator !== -1 && !key.slice(0, separator).includes(".");
  const path = usesSlashes ? key : key.replace(/[./]/g, (each) => (each === "." ? "/" : "."));
  if (!/^[\w.:-]+(\/[\w.:-]+)+$/.test(path) || path.split("/").includes("..")) {
    throw new AgentError("INVALID_ARGUMENT", `sysctl "${key}" is not a kernel parameter`);
  }
  return path;
}
