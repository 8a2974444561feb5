import { type ClientRule, NameMap, type ServerRule, Verdict } from "./name-map.js";

/** Where the host keeps what must not bear its own name there: the guest's name stands behind it. */
export const KEPT_PREFIX = "user.kata-fs.";

/** Begins the names that overlayfs obeys when it is mounted by root. */
const OVERLAY = "trusted.overlay.";

/** What other overlays of the host obey: overlayfs with `userxattr`, fuse-overlayfs, containers/storage. */
const OBEYED_USER_NAMES = ["user.overlay.", "user.fuseoverlayfs.", "user.containers."];

/** What the host's file systems and kernel obey and the guest may decide about its own files. */
const SHARED_NAMES = ["security.capability", "system.posix_acl_access", "system.posix_acl_default"];

/**
 * Marks that tie a file to what the guest's overlay copied it from, by the numbers that inodes have in this guest. In the
 * next guest the same numbers mean other files, and overlayfs would give this one their inode numbers. Without the marks it only lets
 * the inode number of a file change when the file has been copied up and the guest forgets it.
 */
const FORGOTTEN = ["origin", "impure", "uuid"];

/**
 * The names in directories that overlays of the guest and of the host have in common: a container's upper directory and its
 * layers. What the guest's overlay marks must be what containerd finds; what the host's overlay would obey must not be
 * planted by a guest.
 *
 * | the guest's name | becomes |
 * |---|---|
 * | trusted.overlay.opaque | itself, by the broker, with the value "y" only |
 * | .origin, .impure, .uuid of overlay | nothing: setting succeeds |
 * | .protattr of overlay (chattr +i, +a), and what a nested overlay marks | kept |
 * | others of overlay: redirect, metacopy, upper, nlink … | refused: the guest's overlay copies instead |
 * | trusted.*, user.overlay.* and such | kept |
 * | user.*, security.capability, ACLs | itself |
 * | anything else, such as security.selinux | unsupported |
 *
 * Kept means: under {@link KEPT_PREFIX}, which the guest cannot use itself.
 */
export function overlayNames(): NameMap {
  return build(
    [
      { match: name(`${OVERLAY}opaque`), exact: true, verdict: Verdict.opaque },
      ...FORGOTTEN.map((mark) => forgotten(mark)),
      kept(`${OVERLAY}protattr`, true),
      kept(`${OVERLAY}overlay.`),
      { match: name(OVERLAY), verdict: Verdict.denied },
    ],
    [
      shown(`${OVERLAY}protattr`, true),
      shown(`${OVERLAY}overlay.`),
      { match: name(KEPT_PREFIX + OVERLAY), show: false },
    ],
  );
}

/**
 * The names in everything else that a sandbox shares, its volumes: as {@link overlayNames}, but an overlay that a container
 * mounts itself may keep there what it wants.
 */
export function volumeNames(): NameMap {
  return build(
    [forgotten("origin")],
    [{ match: name(`${KEPT_PREFIX}${OVERLAY}origin`), exact: true, show: false }],
  );
}

function build(client: readonly ClientRule[], server: readonly ServerRule[]): NameMap {
  return new NameMap(
    [
      ...client,
      kept("trusted."),
      ...OBEYED_USER_NAMES.map((prefix) => kept(prefix)),
      { match: name(KEPT_PREFIX), verdict: Verdict.denied },
      { match: name("user."), verdict: Verdict.pass },
      ...SHARED_NAMES.map((shared) => ({ match: name(shared), exact: true, verdict: Verdict.pass })),
    ],
    [
      ...server,
      shown("trusted."),
      ...OBEYED_USER_NAMES.map((prefix) => shown(prefix)),
      ...[KEPT_PREFIX, ...OBEYED_USER_NAMES].map((prefix) => ({ match: name(prefix), show: false })),
      { match: name("user."), show: true },
      ...SHARED_NAMES.map((shared) => ({ match: name(shared), exact: true, show: true })),
    ],
  );
}

function forgotten(mark: string): ClientRule {
  return { match: name(OVERLAY + mark), exact: true, verdict: Verdict.forgotten };
}

function kept(prefix: string, exact = false): ClientRule {
  return { match: name(prefix), exact, verdict: Verdict.renamed, prepend: name(KEPT_PREFIX) };
}

/** The counterpart of {@link kept} for the host's names. */
function shown(prefix: string, exact = false): ServerRule {
  return { match: name(KEPT_PREFIX + prefix), exact, show: true, strip: KEPT_PREFIX.length };
}

function name(text: string): Uint8Array {
  return Buffer.from(text);
}
