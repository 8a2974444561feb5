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
      hard: toInteger(Hard),
      soft: toInteger(Soft),
    })),
    noNewPrivileges: process.NoNewPrivileges ?? false,
    ...given("apparmorProfile", process.ApparmorProfile),
    ...given("oomScoreAdj", toNumber(process.OOMScoreAdj)),
    ...given("selinuxLabel", process.SelinuxLabel),
  };
}

/** Translates the limits that a guest can enforce, of a Spec or of UpdateContainer. */
export function toRuntimeResources(resources: message.Resources): RuntimeResources {
  const { Devices, Memory, CPU, Pids, HugepageLimits } = resources;
  const pidsLimit = toInteger(Pids?.Limit);
  return {
    ...(Devices?.length ? { devices: Devices.map(toDeviceRule) } : {}),
    ...(Memory
      ? {
          memory: {
            ...given("limit", toInteger(Memory.Limit)),
            ...given("reservation", toInteger(Memory.Reservation)),
            ...given("swap", toInteger(Memory.Swap)),
            ...given("swappiness", toNumber(Memory.Swappiness)),
            ...given("disableOOMKiller", Memory.DisableOOMKiller),
          },
        }
      : {}),
    ...(CPU
      ? {
          cpu: {
            ...given("shares", toInteger(CPU.Shares)),
            ...given("quota", toInteger(CPU.Quota)),
            ...given("period", toInteger(CPU.Period)),
            ...given("realtimeRuntime", toInteger(CPU.RealtimeRuntime)),
            ...given("realtimePeriod", toInteger(CPU.RealtimePeriod)),
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
            limit: toInteger(Limit),
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
    major: toNumber(device.Major),
    minor: toNumber(device.Minor),
    ...given("fileMode", device.FileMode),
    uid: device.UID ?? 0,
    gid: device.GID ?? 0,
  };
}

/** A rule of the device cgroup. Without numbers, or with -1, it is for all of its type. */
function toDeviceRule(rule: message.DeviceRule) {
  const major = toNumber(rule.Major);
  const minor = toNumber(rule.Minor);
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
        index: toNumber(Index),
        value: toInteger(Value),
        valueTwo: toInteger(ValueTwo),
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

/** A 64-bit integer of the protocol, exactly: as number where 53 bits hold it. */
function toInteger(value: message.Int64 | null | undefined): Integer {
  if (value === null || value === undefined) return 0;
  const exact = BigInt(value.toString());
  const rounded = Number(exact);
  return Number.isSafeInteger(rounded) ? rounded : exact;
}

/** The same for what is small by nature: device numbers, indices, scores. */
function toNumber(value: message.Int64 | null | undefined): number {
  return Number(toInteger(value));
}
