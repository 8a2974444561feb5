import { FOPEN_CACHE_DIR, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE } from "../fuse/constants.js";
import type { Validity } from "../fuse/reply.js";

/** Which files the guest may map: none; those the daemon marks, one by one; or all (the device must be read-only). */
export type DaxMode = "never" | "inode" | "always";

/** How long the guest may trust what it was told: the modes of virtiofsd's option of the same name. */
export type CacheMode = "never" | "auto" | "metadata" | "always";

/**
 * Who changes an export: nobody, as with image layers; this guest alone, as with what a container writes; or the host and other guests,
 * too. Or a cache mode, which says how long the guest trusts what it was told and nothing of who changes it.
 */
export type PolicyName = "immutable" | "exclusive" | "shared" | CacheMode;

/** What an export's option says; what it leaves out is as the policy's name has it. */
export interface ExportOption {
  /** The directory, relative to the shared one, by components; `*` stands for any one. Everything below it belongs to the export. */
  readonly pattern: readonly string[];
  readonly policy: PolicyName;
  /** How long names, attributes, and the absence of names may be remembered. */
  readonly entrySeconds?: number;
  readonly attrSeconds?: number;
  readonly negativeSeconds?: number;
  /** How long names may be remembered while the host's changes are followed and nothing changes: see {@link ExportPolicy.quietValid}. */
  readonly quietSeconds?: number;
  /** Whether large files are marked for DAX, or from which size on in bytes. */
  readonly dax?: boolean | number;
  readonly readOnly?: boolean;
  /** A layer or the upper directory of an overlay, which the host mounts, too. */
  readonly overlay?: boolean;
}

/** What the guest may keep of an export, and do with it. See docs/caching.md. */
export interface ExportPolicy {
  /** Refuse every change, even where the mount would allow it. */
  readonly readOnly: boolean;
  /** Part of an overlay of the guest that the host mounts, too: see xattr-map/overlay-names.ts. */
  readonly isOverlay: boolean;
  /** Nothing ever changes, on the host either. */
  readonly isImmutable: boolean;
  /** The host may change it at any time: its change events are of interest. */
  readonly isShared: boolean;
  /** Nobody but this guest ever changes anything, and the guest may remember everything without limit: see remembered-answers.ts. */
  readonly isRemembered: boolean;
  readonly entryValid: Validity;
  readonly attrValid: Validity;
  /** Zero: a name that does not exist is not remembered. */
  readonly negativeValid: Validity;
  /**
   * For names in a directory, and its own attributes, while somebody follows the host's changes, who takes back what the guest remembers, and
   * the host has changed nothing in it for a while. Zero: as at any time.
   */
  readonly quietValid: Validity;
  /** FOPEN flags for files and for directories. */
  readonly openFlags: number;
  readonly opendirFlags: number;
  /** Whether FOPEN_KEEP_CACHE is added for a file, or a directory, that has not changed since it was opened last. */
  readonly keepsUnchangedFiles: boolean;
  readonly keepsUnchangedDirectories: boolean;
  /** Regular files that the guest cannot change are marked for DAX from this size on; Infinity for none. */
  readonly daxThresholdBytes: number;
}

/** What the device's options say about every export. */
export interface DeviceDefaults {
  readonly readOnly: boolean;
  readonly cache: CacheMode;
  /** For absent names where the export does not say; undefined for what goes with the cache mode. */
  readonly negativeSeconds: number | undefined;
  /** "never" for a device without a window. */
  readonly dax: DaxMode;
  readonly daxThresholdBytes: number;
}

type CachePolicy = Omit<ExportPolicy, "readOnly" | "isOverlay" | "daxThresholdBytes">;

/** The largest number of seconds that fits the low half of the field: 136 years. */
export const WITHOUT_LIMIT_SECONDS = 0xffff_ffff;
const DAY_SECONDS = 86400;
/** The bound that is stated for what the host shares. */
export const SHARED_SECONDS = 1;
/** The same where changes are taken back, if that fails. */
const QUIET_SECONDS = 10;

const DIRECTORY_CACHED = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;

function valid(seconds: number): Pick<CachePolicy, "entryValid" | "attrValid" | "negativeValid"> {
  return {
    entryValid: validity(seconds),
    attrValid: validity(seconds),
    negativeValid: validity(seconds),
  };
}

const NOBODY_KNOWS = {
  quietValid: validity(0),
  isImmutable: false,
  isShared: false,
  isRemembered: false,
  keepsUnchangedFiles: false,
  keepsUnchangedDirectories: false,
} as const;

const ALWAYS: CachePolicy = {
  ...NOBODY_KNOWS,
  ...valid(DAY_SECONDS),
  openFlags: FOPEN_KEEP_CACHE,
  opendirFlags: DIRECTORY_CACHED,
};

const AUTO: CachePolicy = {
  ...NOBODY_KNOWS,
  ...valid(SHARED_SECONDS),
  negativeValid: validity(0),
  openFlags: 0,
  opendirFlags: 0,
  keepsUnchangedFiles: true,
};

const policies: Readonly<Record<PolicyName, CachePolicy>> = {
  immutable: { ...ALWAYS, ...valid(WITHOUT_LIMIT_SECONDS), isImmutable: true, isRemembered: true },
  exclusive: { ...ALWAYS, ...valid(WITHOUT_LIMIT_SECONDS), isRemembered: true },
  shared: {
    ...AUTO,
    isShared: true,
    quietValid: validity(QUIET_SECONDS),
    opendirFlags: FOPEN_CACHE_DIR,
    keepsUnchangedDirectories: true,
  },
  never: { ...NOBODY_KNOWS, ...valid(0), openFlags: FOPEN_DIRECT_IO, opendirFlags: 0 },
  auto: AUTO,
  metadata: { ...ALWAYS, openFlags: FOPEN_DIRECT_IO },
  always: ALWAYS,
};

export const POLICY_NAMES = Object.keys(policies) as readonly PolicyName[];

/** The policy of what no export covers. A read-only device whose guest may always trust it never changes. */
export function devicePolicy(device: DeviceDefaults): ExportPolicy {
  const isStatic = device.readOnly && device.cache === "always";
  return exportPolicy({ pattern: [], policy: isStatic ? "immutable" : device.cache }, device);
}

export function exportPolicy(option: ExportOption, device: DeviceDefaults): ExportPolicy {
  const named = policies[option.policy];
  const seconds = (given: number | undefined, otherwise: Validity) =>
    given === undefined ? otherwise : validity(given);
  const negativeSeconds = option.negativeSeconds ?? device.negativeSeconds;
  const hasLimits = [option.entrySeconds, option.attrSeconds, negativeSeconds].some(
    (given) => given !== undefined && given < WITHOUT_LIMIT_SECONDS,
  );
  return {
    ...named,
    readOnly: device.readOnly || named.isImmutable || (option.readOnly ?? false),
    isOverlay: option.overlay ?? false,
    entryValid: seconds(option.entrySeconds, named.entryValid),
    attrValid: seconds(option.attrSeconds, named.attrValid),
    isRemembered: named.isRemembered && !hasLimits,
    negativeValid: seconds(negativeSeconds, named.negativeValid),
    quietValid: seconds(option.quietSeconds, named.quietValid),
    daxThresholdBytes: daxThreshold(option.dax ?? named.isImmutable, device),
  };
}

/** A file that shrinks on the host while it is mapped kills QEMU: without being asked for, only what never changes is mapped. */
function daxThreshold(wanted: boolean | number, device: DeviceDefaults): number {
  if (device.dax === "never" || wanted === false) return Number.POSITIVE_INFINITY;
  return wanted === true ? device.daxThresholdBytes : wanted;
}

function validity(seconds: number): Validity {
  const whole = Math.min(Math.floor(seconds), WITHOUT_LIMIT_SECONDS);
  return { seconds: whole, nanoseconds: Math.round((seconds - Math.floor(seconds)) * 1e9) % 1e9 };
}
