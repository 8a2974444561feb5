import type { NameMap } from "../xattr-map/name-map.js";
import type { CacheMode, DaxMode, ExportOption } from "./export-policy.js";
import { IdMap } from "./id-map.js";

/** Whether a feature of FUSE is left off, used where the guest has it, or demanded of the guest. */
export type Negotiation = "never" | "auto" | "always";

/** How inodes that the guest knows are found again: by name; by file handle where possible; by file handle only. */
export type InodeFileHandles = "never" | "prefer" | "mandatory";

/** How a shared directory is served: virtiofsd's options of the same names, and ours. */
export interface SharePolicy {
  /** Refuse every modification, whatever the mounts below the shared directory allow. */
  readonly readOnly: boolean;
  /** For what no export covers. */
  readonly cache: CacheMode;
  /** The guest gathers writes in its page cache; it must be the only one that changes the files. */
  readonly writeback: boolean;
  /** Files that are not cached may be mapped, shared, nevertheless; the guest must be the only one that changes them. */
  readonly allowMmap: boolean;
  /** The guest's O_DIRECT is passed on to the host's open(2). */
  readonly allowDirectIo: boolean;
  readonly readdirplus: boolean;
  /** The guest is told where mounts of the host begin, and mounts them itself. */
  readonly announceSubmounts: boolean;
  readonly xattr: boolean;
  /** Renames extended attributes between guest and host. */
  readonly xattrMap: NameMap | undefined;
  readonly posixAcl: Negotiation;
  readonly securityLabel: Negotiation;
  readonly killprivV2: boolean;
  /** Locks of fcntl(2), and of flock(2), are taken on the host, so that other guests and the host respect them. */
  readonly posixLock: boolean;
  readonly flock: boolean;
  readonly inodeFileHandles: InodeFileHandles;
  readonly uids: IdMap;
  readonly gids: IdMap;
  /** The guest's O_NOATIME is passed on to the host's open(2), which refuses it to those who do not own the file. */
  readonly preserveNoatime: boolean;
  readonly dax: DaxMode;
  /** With `dax: "inode"`: files of exports that may be mapped are mapped from this size on. */
  readonly daxThresholdBytes: number;
  /** Directories below the shared one with policies of their own. */
  readonly exports: readonly ExportOption[];
  /** How long the guest may remember that a name does not exist; undefined: as the cache mode says. */
  readonly negativeSeconds: number | undefined;
}

/** What holds for a directory where nothing is said: the presets of virtiofsd, and no DAX. */
export const PRESET_SHARE_POLICY: SharePolicy = {
  readOnly: false,
  cache: "auto",
  writeback: false,
  allowMmap: false,
  allowDirectIo: false,
  readdirplus: true,
  announceSubmounts: true,
  xattr: false,
  xattrMap: undefined,
  posixAcl: "never",
  securityLabel: "never",
  killprivV2: false,
  posixLock: true,
  flock: true,
  inodeFileHandles: "prefer",
  uids: IdMap.identity,
  gids: IdMap.identity,
  preserveNoatime: false,
  dax: "never",
  daxThresholdBytes: 128 * 1024,
  exports: [],
  negativeSeconds: undefined,
};
