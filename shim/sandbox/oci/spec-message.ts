import type { agent } from "../../../proto/index.js";
import { JsonReader } from "./json-reader.js";

/**
 * The OCI configuration of a container as a message of the agent's protocol. What names things of the host has no place in
 * a guest and is left out: hooks, which run on the host, device rules, block and network limits, labels of SELinux and AppArmor.
 *
 * @param config config.json, as it was parsed
 * @throws ShimError INVALID_ARGUMENT for a document that is no OCI configuration
 */
export function specMessage(config: unknown): agent.Spec.$Properties {
  const spec = JsonReader.of(config, "config.json");
  const root = spec.object("root");
  return {
    Version: spec.text("ociVersion"),
    Process: processOf(spec.object("process")),
    Root: { Path: root.text("path"), Readonly: root.flag("readonly") },
    Hostname: spec.text("hostname"),
    Mounts: spec.objects("mounts").map((mount) => ({
      destination: mount.text("destination"),
      source: mount.text("source"),
      type: mount.text("type"),
      options: mount.texts("options"),
    })),
    Annotations: spec.textByName("annotations"),
    Linux: linuxOf(spec.object("linux")),
  };
}

/**
 * Whether a container has its processes in the pid namespace of its pod: then its configuration names one of the host's, that of
 * the process that stands for the pod.
 *
 * @param config config.json, as it was parsed
 * @throws ShimError INVALID_ARGUMENT
 */
export function joinsPidNamespace(config: unknown): boolean {
  return JsonReader.of(config, "config.json")
    .object("linux")
    .objects("namespaces")
    .some((namespace) => namespace.text("type") === "pid" && namespace.text("path") !== "");
}

/** The kernel parameters that config.json sets, by name. @throws ShimError INVALID_ARGUMENT */
export function sysctlsOf(config: unknown): Record<string, string> {
  return JsonReader.of(config, "config.json").object("linux").textByName("sysctl");
}

/**
 * An OCI process as a message of the agent's protocol.
 *
 * @throws ShimError INVALID_ARGUMENT
 */
export function processMessage(process: unknown): agent.Process.$Properties {
  return processOf(JsonReader.of(process, "process"));
}

function processOf(process: JsonReader): agent.Process.$Properties {
  const user = process.object("user");
  const size = process.object("consoleSize");
  return {
    Terminal: process.flag("terminal"),
    ...(process.has("consoleSize") && {
      ConsoleSize: { Height: size.number("height"), Width: size.number("width") },
    }),
    User: {
      UID: user.number("uid"),
      GID: user.number("gid"),
      AdditionalGids: user.numbers("additionalGids"),
      Username: user.text("username"),
    },
    Args: process.texts("args"),
    Env: process.texts("env"),
    Cwd: process.text("cwd"),
    ...(process.has("capabilities") && { Capabilities: capabilitiesOf(process.object("capabilities")) }),
    Rlimits: process.objects("rlimits").map((limit) => ({
      Type: limit.text("type"),
      Hard: limit.number("hard"),
      Soft: limit.number("soft"),
    })),
    NoNewPrivileges: process.flag("noNewPrivileges"),
    OOMScoreAdj: process.number("oomScoreAdj"),
  };
}

/** The limits of an Update, as the agent takes them. @throws ShimError INVALID_ARGUMENT */
export function resourcesMessage(resources: unknown): agent.LinuxResources.$Properties {
  return resourcesOf(JsonReader.of(resources, "resources"));
}

function capabilitiesOf(capabilities: JsonReader): agent.LinuxCapabilities.$Properties {
  return {
    Bounding: capabilities.texts("bounding"),
    Effective: capabilities.texts("effective"),
    Inheritable: capabilities.texts("inheritable"),
    Permitted: capabilities.texts("permitted"),
    Ambient: capabilities.texts("ambient"),
  };
}

function linuxOf(linux: JsonReader): agent.Linux.$Properties {
  return {
    UIDMappings: linux.objects("uidMappings").map(idMappingOf),
    GIDMappings: linux.objects("gidMappings").map(idMappingOf),
    Sysctl: linux.textByName("sysctl"),
    Resources: resourcesOf(linux.object("resources")),
    CgroupsPath: linux.text("cgroupsPath"),
    Namespaces: guestNamespaces(linux.objects("namespaces")),
    Devices: linux.objects("devices").map((device) => ({
      Path: device.text("path"),
      Type: device.text("type"),
      Major: device.number("major"),
      Minor: device.number("minor"),
      FileMode: device.number("fileMode"),
      UID: device.number("uid"),
      GID: device.number("gid"),
    })),
    ...(linux.has("seccomp") && { Seccomp: seccompOf(linux.object("seccomp")) }),
    RootfsPropagation: linux.text("rootfsPropagation"),
    MaskedPaths: linux.texts("maskedPaths"),
    ReadonlyPaths: linux.texts("readonlyPaths"),
  };
}

/** Namespaces that the guest gives by itself, or that belong to the host's network. */
const NOT_THE_CONTAINERS = new Set(["cgroup", "network", "pid", "time"]);

/** Paths are those of namespaces on the host. */
function guestNamespaces(namespaces: readonly JsonReader[]): agent.LinuxNamespace.$Properties[] {
  return namespaces
    .map((namespace) => namespace.text("type"))
    .filter((type) => !NOT_THE_CONTAINERS.has(type))
    .map((type) => ({ Type: type, Path: "" }));
}

function idMappingOf(mapping: JsonReader): agent.LinuxIDMapping.$Properties {
  return {
    HostID: mapping.number("hostID"),
    ContainerID: mapping.number("containerID"),
    Size: mapping.number("size"),
  };
}

/** Limits that hold within the guest as well. CPU and memory node numbers are the host's. */
function resourcesOf(resources: JsonReader): agent.LinuxResources.$Properties {
  const memory = resources.object("memory");
  const cpu = resources.object("cpu");
  return {
    Memory: {
      Limit: memory.number("limit"),
      Reservation: memory.number("reservation"),
      Swap: memory.number("swap"),
      Swappiness: memory.number("swappiness"),
      DisableOOMKiller: memory.flag("disableOOMKiller"),
    },
    CPU: {
      Shares: cpu.number("shares"),
      Quota: cpu.number("quota"),
      Period: cpu.number("period"),
      RealtimeRuntime: cpu.number("realtimeRuntime"),
      RealtimePeriod: cpu.number("realtimePeriod"),
    },
    Pids: { Limit: resources.object("pids").number("limit") },
    HugepageLimits: resources.objects("hugepageLimits").map((limit) => ({
      Pagesize: limit.text("pageSize"),
      Limit: limit.number("limit"),
    })),
  };
}

function seccompOf(seccomp: JsonReader): agent.LinuxSeccomp.$Properties {
  return {
    DefaultAction: seccomp.text("defaultAction"),
    Architectures: seccomp.texts("architectures"),
    Flags: seccomp.texts("flags"),
    Syscalls: seccomp.objects("syscalls").map((syscall) => ({
      Names: syscall.texts("names"),
      Action: syscall.text("action"),
      ...(syscall.has("errnoRet") && { errnoret: syscall.number("errnoRet") }),
      Args: syscall.objects("args").map((arg) => ({
        Index: arg.number("index"),
        Value: arg.number("value"),
        ValueTwo: arg.number("valueTwo"),
        Op: arg.text("op"),
      })),
    })),
  };
}
