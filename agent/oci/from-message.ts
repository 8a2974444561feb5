import { AgentError } from "../error.js";
import type * as message from "./message.js";
import type {
  Integer,
  RuntimeCapabilities,
  RuntimeDevice,
  RuntimeIdMapping,
  RuntimeLinux,
  RuntimeProcess,
  RuntimeResources,
  RuntimeSeccomp,
  RuntimeSpec,
} from "./runtime-spec.js";

/** The version of the runtime specification that the translation follows. */
const OCI_VERSION = "1.0.2";

/**
 * Translates the agent protocol's Spec (oci.proto) into an OCI runtime configuration, saying the same. The protocol cannot tell
 * a zero from a number that was not given; where the two differ, zero is taken as not given, as the official agent does.
 *
 * Not carried over: hooks, which are programs of the host; blockIO, network and intelRdt, which name devices of the host;
 * kernel memory limits, which cgroup v2 does not have.
 *
 * @throws AgentError INVALID_ARGUMENT when a part is missing without which there is no container.
 */
export function toRuntimeSpec(spec: message.Spec): RuntimeSpec {
  const rootPath = spec.Root?.Path ?? "";
  if (rootPath === "") throw new AgentError("INVALID_ARGUMENT", "OCI spec: root path is missing");
  if (!spec.Process) throw new AgentError("INVALID_ARGUMENT", "OCI spec: process is missing");
  return {
    ociVersion: spec.Version || OCI_VERSION,
    process: toRuntimeProcess(spec.Process),
    root: { path: rootPath, readonly: spec.Root?.Readonly ?? false },
    ...given("hostname", spec.Hostname),
    mounts: (spec.Mounts ?? []).map((mount) => ({
      destination: mount.destination ?? "",
      source: mount.source ?? "",
      ...given("type", mount.type),
      options: mount.options ?? [],
    })),
    annotations: spec.Annotations ?? {},
    linux: toLinux(spec.Linux ?? {}),
  };
}

/**
 * Translates a Process of oci.proto, of a Spec or of ExecProcess.
 *
 * @throws AgentError INVALID_ARGUMENT without arguments.
 */
export function toRuntimeProcess(process: message.Process): RuntimeProcess {
  const args = process.Args ?? [];
  if (args.length === 0) throw new AgentError("INVALID_ARGUMENT", "OCI process: args are empty");
  const { Height: height = 0, Width: width = 0 } = process.ConsoleSize ?? {};
  return {
    terminal: process.Terminal ?? false,
    ...(height && width ? { consoleSize: { height, width } } : {}),
    user: {
      uid: process.User?.UID ?? 0,
      gid: process.User?.GID ?? 0,
      additionalGids: process.User?.AdditionalGids ?? [],
    },
    args,
    env: process.Env ?? [],
    cwd: process.Cwd || "/",
    ...(process.Capabilities ? { capabilities: toCapabilities(process.Capabilities) } : {}),
    rlimits: (process.Rlimits ?? []).map(({ Type, Hard, Soft }) => ({
      type: Type ?? "",
      hard: toLimit(Hard),
      soft: toLimit(Soft),
    })),
    noNewPrivileges: process.NoNewPrivileges ?? false,
    ...given("apparmorProfile", process.ApparmorProfile),
    ...given("oomScoreAdj", process.OOMScoreAdj),
    ...given("selinuxLabel", process.SelinuxLabel),
  };
}

/** Translates the limits that a guest can enforce, of a Spec or of UpdateContainer. */
export function toRuntimeResources(resources: message.Resources): RuntimeResources {
  const { Devices, Memory, CPU, Pids, HugepageLimits } = resources;
  const pidsLimit = toInt64(Pids?.Limit);
  return {
    ...(Devices?.length ? { devices: Devices.map(toDeviceRule) } : {}),
    ...(Memory
      ? {
          memory: {
            ...given("limit", toInt64(Memory.Limit)),
            ...given("reservation", toInt64(Memory.Reservation)),
            ...given("swap", toInt64(Memory.Swap)),
            ...given("swappiness", Memory.Swappiness),
            ...given("disableOOMKiller", Memory.DisableOOMKiller),
          },
        }
      : {}),
    ...(CPU
      ? {
          cpu: {
            ...given("shares", toUint64(CPU.Shares)),
            ...given("quota", toInt64(CPU.Quota)),
            ...given("period", toUint64(CPU.Period)),
            ...given("realtimeRuntime", toInt64(CPU.RealtimeRuntime)),
            ...given("realtimePeriod", toUint64(CPU.RealtimePeriod)),
            ...given("cpus", CPU.Cpus),
            ...given("mems", CPU.Mems),
          },
        }
      : {}),
    ...(pidsLimit ? { pids: { limit: pidsLimit } } : {}),
    ...(HugepageLimits?.length
      ? {
          hugepageLimits: HugepageLimits.map(({ Pagesize, Limit }) => ({
            pageSize: Pagesize ?? "",
            limit: toUint64(Limit),
          })),
        }
      : {}),
  };
}

function toLinux(linux: message.Linux): RuntimeLinux {
  return {
    ...(linux.UIDMappings?.length ? { uidMappings: linux.UIDMappings.map(toIdMapping) } : {}),
    ...(linux.GIDMappings?.length ? { gidMappings: linux.GIDMappings.map(toIdMapping) } : {}),
    ...(Object.keys(linux.Sysctl ?? {}).length > 0 ? { sysctl: linux.Sysctl ?? {} } : {}),
    ...(linux.Resources ? { resources: toRuntimeResources(linux.Resources) } : {}),
    ...given("cgroupsPath", linux.CgroupsPath),
    namespaces: (linux.Namespaces ?? []).map(({ Type, Path }) => ({
      type: Type ?? "",
      ...given("path", Path),
    })),
    devices: (linux.Devices ?? []).map(toDevice),
    ...(linux.Seccomp ? { seccomp: toSeccomp(linux.Seccomp) } : {}),
    ...given("rootfsPropagation", linux.RootfsPropagation),
    maskedPaths: linux.MaskedPaths ?? [],
    readonlyPaths: linux.ReadonlyPaths ?? [],
    ...given("mountLabel", linux.MountLabel),
  };
}

function toCapabilities(capabilities: message.Capabilities): RuntimeCapabilities {
  return {
    bounding: capabilities.Bounding ?? [],
    effective: capabilities.Effective ?? [],
    inheritable: capabilities.Inheritable ?? [],
    permitted: capabilities.Permitted ?? [],
    ambient: capabilities.Ambient ?? [],
  };
}

function toIdMapping({ HostID, ContainerID, Size }: message.IdMapping): RuntimeIdMapping {
  return { hostID: HostID ?? 0, containerID: ContainerID ?? 0, size: Size ?? 0 };
}

function toDevice(device: message.Device): RuntimeDevice {
  return {
    path: device.Path ?? "",
    type: device.Type ?? "",
    major: device.Major ?? 0,
    minor: device.Minor ?? 0,
    ...given("fileMode", device.FileMode),
    uid: device.UID ?? 0,
    gid: device.GID ?? 0,
  };
}

/** A rule of the device cgroup. Without numbers, or with -1, it is for all of its type. */
function toDeviceRule(rule: message.DeviceRule) {
  const major = rule.Major ?? 0;
  const minor = rule.Minor ?? 0;
  return {
    allow: rule.Allow ?? false,
    ...given("type", rule.Type),
    ...(major > 0 ? { major } : {}),
    ...(minor > 0 || (minor === 0 && major > 0) ? { minor } : {}),
    ...given("access", rule.Access),
  };
}

function toSeccomp(seccomp: message.Seccomp): RuntimeSeccomp {
  return {
    defaultAction: seccomp.DefaultAction ?? "",
    architectures: seccomp.Architectures ?? [],
    flags: seccomp.Flags ?? [],
    syscalls: (seccomp.Syscalls ?? []).map(({ Names, Action, errnoret, Args }) => ({
      names: Names ?? [],
      action: Action ?? "",
      ...(typeof errnoret === "number" ? { errnoRet: errnoret } : {}),
      args: (Args ?? []).map(({ Index, Value, ValueTwo, Op }) => ({
        index: Index ?? 0,
        value: toUint64(Value),
        valueTwo: toUint64(ValueTwo),
        op: Op ?? "",
      })),
    })),
  };
}

/** `{ [key]: value }` when the value says something, nothing when it is absent, zero, empty or false. */
function given<K extends string, T extends string | Integer | boolean>(
  key: K,
  value: T | null | undefined,
): { [P in K]?: T } {
  const result: { [P in K]?: T } = {};
  if (value) result[key] = value;
  return result;
}

const UINT64_MAX = 2n ** 64n - 1n;
const LARGEST_UINT64_NUMBER = 2 ** 64 - 2 ** 11;
const INT64_MAX = 2n ** 63n - 1n;

/** A uint64 of the protocol. Decoded to a number, the largest were rounded up beyond the type: they become its maximum. */
function toUint64(value: number | undefined): Integer {
  return toInteger(value ?? 0, UINT64_MAX);
}

/** The same for a resource limit: the largest number below 2^64 is as near as a number comes to "unlimited". */
function toLimit(value: number | undefined): Integer {
  return value !== undefined && value >= LARGEST_UINT64_NUMBER ? UINT64_MAX : toUint64(value);
}

/** The same for an int64. */
function toInt64(value: number | undefined): Integer {
  return toInteger(value ?? 0, INT64_MAX);
}

function toInteger(value: number, max: bigint): Integer {
  if (Number.isSafeInteger(value)) return value;
  const exact = BigInt(value);
  return exact > max ? max : exact;
}
