import { FOPEN_CACHE_DIR, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE } from "../fuse/constants.js";
import type { Validity } from "../fuse/reply.js";

/** Which files the guest may map: none; those the daemon marks, one by one; or all (the device must be read-only). */
export type DaxMode = "never" | "inode" | "always";

/** How long the guest may trust what it was told: the modes of virtiofsd's option of the same name. */
export type CacheMode = "never" | "auto" | "metadata" | "always";

/** What goes with the cache mode into replies. */
export interface CachePolicy {
  /** For names and attributes. */
  readonly valid: Validity;
  /** Whether the guest may remember that a name does not exist. */
  readonly negative: boolean;
  /** FOPEN flags for files; and whether FOPEN_KEEP_CACHE is added for a file that has not changed since it was opened last. */
  readonly openFlags: number;
  readonly keepUnchanged: boolean;
  /** FOPEN flags for directories. */
  readonly opendirFlags: number;
}

const DAY: Validity = { seconds: 86400, nanoseconds: 0 };
const SECOND: Validity = { seconds: 1, nanoseconds: 0 };
const NOTHING: Validity = { seconds: 0, nanoseconds: 0 };

const DIRECTORY_CACHED = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;

const policies: Readonly<Record<CacheMode, CachePolicy>> = {
  never: {
    valid: NOTHING,
    negative: false,
    openFlags: FOPEN_DIRECT_IO,
    keepUnchanged: false,
    opendirFlags: 0,
  },
  auto: { valid: SECOND, negative: false, openFlags: 0, keepUnchanged: true, opendirFlags: 0 },
  metadata: {
    valid: DAY,
    negative: true,
    openFlags: FOPEN_DIRECT_IO,
    keepUnchanged: false,
    opendirFlags: DIRECTORY_CACHED,
  },
  always: {
    valid: DAY,
    negative: true,
    openFlags: FOPEN_KEEP_CACHE,
    keepUnchanged: false,
    opendirFlags: DIRECTORY_CACHED,
  },
};

/** The policy of a mount. What never changes is cached as with "always", unless caching is off. */
export function cachePolicy(mode: CacheMode, immutable: boolean): CachePolicy {
  return policies[immutable && mode === "auto" ? "always" : mode];
}

/**
 * Whether `path`, relative and without empty components, matches one of `patterns` component by component; a component `*`
 * matches any one.
 */
export function matchesMountPattern(path: string, patterns: readonly string[]): boolean {
  const components = path.split("/");
  return patterns.some((pattern) => {
    const wanted = pattern.split("/");
    return (
      wanted.length === components.length &&
      wanted.every((component, index) => component === "*" || component === components[index])
    );
  });
}
