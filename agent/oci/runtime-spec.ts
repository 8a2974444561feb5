/** A 64-bit integer; bigint beyond 2^53, such as an unlimited rlimit. */
export type Integer = number | bigint;

/** The parts of an OCI runtime configuration (config.json, runtime-spec "Linux") that the agent hands to the runtime. */
export interface RuntimeSpec {
  readonly ociVersion: string;
  readonly process?: RuntimeProcess;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname?: string;
  readonly mounts: readonly RuntimeMount[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: RuntimeLinux;
}

export interface RuntimeProcess {
  readonly terminal: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly user: {
    readonly uid: number;
    readonly gid: number;
    readonly additionalGids: readonly number[];
  };
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities?: RuntimeCapabilities;
  readonly rlimits: readonly {
    readonly type: string;
    readonly hard: Integer;
    readonly soft: Integer;
  }[];
  readonly noNewPrivileges: boolean;
  readonly apparmorProfile?: string;
  readonly oomScoreAdj?: number;
  readonly selinuxLabel?: string;
}

export interface RuntimeCapabilities {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly inheritable: readonly string[];
  readonly permitted: readonly string[];
  readonly ambient: readonly string[];
}

export interface RuntimeMount {
  readonly destination: string;
  readonly source: string;
  readonly type?: string;
  readonly options: readonly string[];
}

export interface RuntimeNamespace {
  readonly type: string;
  /** A namespace that exists, to join; a new one without. */
  readonly path?: string;
}

export interface RuntimeIdMapping {
  readonly hostID: number;
  readonly containerID: number;
  readonly size: number;
}

export interface RuntimeLinux {
  readonly uidMappings?: readonly RuntimeIdMapping[];
  readonly gidMappings?: readonly RuntimeIdMapping[];
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly resources?: RuntimeResources;
  readonly cgroupsPath?: string;
  readonly namespaces: readonly RuntimeNamespace[];
  readonly devices: readonly RuntimeDevice[];
  readonly seccomp?: RuntimeSeccomp;
  readonly rootfsPropagation?: string;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly mountLabel?: string;
}

export interface RuntimeDevice {
  readonly path: string;
  readonly type: string;
  readonly major: number;
  readonly minor: number;
  readonly fileMode?: number;
  readonly uid: number;
  readonly gid: number;
}

export interface RuntimeResources {
  readonly devices?: readonly {
    readonly allow: boolean;
    readonly type?: string;
    readonly major?: number;
    readonly minor?: number;
    readonly access?: string;
  }[];
  readonly memory?: {
    readonly limit?: Integer;
    readonly reservation?: Integer;
    readonly swap?: Integer;
    readonly swappiness?: number;
    readonly disableOOMKiller?: boolean;
  };
  readonly cpu?: {
    readonly shares?: Integer;
    readonly quota?: Integer;
    readonly period?: Integer;
    readonly realtimeRuntime?: Integer;
    readonly realtimePeriod?: Integer;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly pids?: { readonly limit: Integer };
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: Integer }[];
}

export interface RuntimeSeccomp {
  readonly defaultAction: string;
  readonly architectures: readonly string[];
  readonly flags: readonly string[];
  readonly syscalls: readonly {
    readonly names: readonly string[];
    readonly action: string;
    readonly errnoRet?: number;
    readonly args: readonly {
      readonly index: number;
      readonly value: Integer;
      readonly valueTwo: Integer;
      readonly op: string;
    }[];
  }[];
}

/** JSON text of a configuration or a part of it, with bigint as plain numbers, which JSON allows and C programs read. */
export function stringifySpec(value: RuntimeSpec | RuntimeProcess | RuntimeResources): string {
  // NUL cannot be in the texts of a configuration that a kernel could use, so the mark is unambiguous.
  return JSON.stringify(value, (_key, each: unknown) =>
    typeof each === "bigint" ? `\0${each.toString()}` : each,
  ).replace(/"\\u0000(-?\d+)"/g, "$1");
}
