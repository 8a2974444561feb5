/**
 * Options that kata-fsd and virtiofsd have in common; with them a share behaves like a local file system. The capability is for
 * append-only and immutable files.
 */
const COMPLETE = [
  ...["--xattr", "--posix-acl", "--killpriv-v2", "--preserve-noatime"],
  "--modcaps=+linux_immutable",
];

/** A way to serve a directory that everybody may change, and one that nobody does. */
export interface Mode {
  /** Options of either daemon for what changes. */
  readonly options: readonly string[];
  /** How kata-fsd lets the guest have what does not change: it may be mapped whatever is done with the rest. */
  readonly dax: DaxMode;
}

export const MODES = {
  // Shared mappings need the guest's cache, which is theirs alone here.
  never: { options: [...COMPLETE, "--cache", "never", "--allow-mmap"], dax: "inode" },
  auto: { options: [...COMPLETE, "--cache", "auto"], dax: "inode" },
  always: { options: [...COMPLETE, "--cache", "always"], dax: "always" },
  metadata: { options: [...COMPLETE, "--cache", "metadata", "--allow-mmap"], dax: "none" },
  writeback: { options: [...COMPLETE, "--cache", "always", "--writeback"], dax: "always" },
  direct: { options: [...COMPLETE, "--cache", "auto", "--allow-direct-io"], dax: "none" },
} as const satisfies Readonly<Record<string, Mode>>;

/** Options of kata-fsd and of the mount. The mount never says that nothing is written: the daemon does. */
export const DAX_MODES = {
  none: { options: [], mount: "rw" },
  inode: { options: ["--dax", "inode", "--dax-threshold", "1", "--export", "/:immutable"], mount: "rw" },
  always: { options: ["--dax", "always"], mount: "rw,dax=always" },
} as const;

export type DaxMode = keyof typeof DAX_MODES;
