/**
 * Options that kata-fsd and virtiofsd have in common; with them a share behaves like a local file system. The capability is for
 * append-only and immutable files.
 */
const COMPLETE = ["--xattr", "--posix-acl", "--killpriv-v2", "--modcaps=+linux_immutable"];

/** Ways to cache, by name: options of either daemon. */
export const MODES = {
  // Shared mappings need the guest's cache, which is theirs alone here.
  never: [...COMPLETE, "--cache", "never", "--allow-mmap"],
  auto: [...COMPLETE, "--cache", "auto"],
  always: [...COMPLETE, "--cache", "always"],
  metadata: [...COMPLETE, "--cache", "metadata", "--allow-mmap"],
  writeback: [...COMPLETE, "--cache", "always", "--writeback"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type Mode = keyof typeof MODES;
