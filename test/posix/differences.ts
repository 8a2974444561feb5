import type { Outcome } from "./suite/report.js";

/** Of what outcomes are. */
export interface Where {
  readonly daemon: "kata-fsd" | "virtiofsd";
  /** A key of MODES. */
  readonly mode: string;
  /** Of the guest's Linux. */
  readonly release: string;
}

/** A check that does not hold, and why that is right or cannot be helped. */
export interface Difference {
  /** As the suite names it. */
  readonly check: string;
  /** Where it does not hold; everywhere when undefined. */
  readonly daemon?: Where["daemon"];
  readonly modes?: readonly string[];
  readonly release?: string;
  readonly reason: string;
}

const APPEND_ONLY = [
  "permissions: an append-only file grows, and nothing else",
  "permissions: an append-only file grows for a user who owns it, too, and nothing else",
];

/** What --writeback costs with either daemon: the guest's kernel answers before the daemon is asked. */
const WRITEBACK: readonly Difference[] = [
  ...["PUNCH_HOLE zeroes and frees", "a file reaches past 4 GiB"].map((check) => ({
    check: `space: ${check}`,
    modes: ["writeback"],
    reason: "Linux's FUSE client asks the daemon for holes and data without writing back first",
  })),
  {
    check: "space: no file reaches the end of the offsets",
    modes: ["writeback"],
    reason: "the client takes any offset; EFBIG comes when it writes back, as EIO of close",
  },
  {
    check: "times: of access follow relatime: behind a change they are renewed",
    modes: ["writeback"],
    reason: "what was just written is read from the guest's cache, of which the daemon is told nothing",
  },
  ...[
    "takes what there is room for, says how much that was, then ENOSPC",
    "can be overwritten, and has room again when something goes",
  ].map((check) => ({
    check: `a full file system: ${check}`,
    modes: ["writeback"],
    reason: "ENOSPC comes with fsync or close: the daemon reserves no room for what the guest gathers",
  })),
];

export const DIFFERENCES: readonly Difference[] = [
  ...WRITEBACK,
  ...APPEND_ONLY.map(
    (check): Difference => ({
      check,
      daemon: "kata-fsd",
      modes: ["writeback"],
      reason:
        "the host lets an append-only file be opened with O_APPEND alone, and what is written back has its place",
    }),
  ),
  {
    check: "space: COLLAPSE_RANGE and INSERT_RANGE move what is behind",
    reason: "Linux's FUSE client refuses these modes without asking the daemon",
  },
  ...[
    ...APPEND_ONLY,
    "permissions: an append-only directory gets names and loses none",
    "permissions: an immutable file stays as it is",
    "permissions: only root sets flags of chattr",
  ].map(
    (check): Difference => ({
      check,
      daemon: "virtiofsd",
      reason: "virtiofsd answers no IOCTL",
    }),
  ),
  {
    check: "links: O_TMPFILE makes a file without a name, which may get one",
    daemon: "virtiofsd",
    reason: "virtiofsd has no TMPFILE",
  },
  {
    check: "links: a removed working directory is empty, and nothing can be made there",
    daemon: "virtiofsd",
    reason:
      "virtiofsd opens inodes by file handle (--inode-file-handles=prefer), and a removed directory has none",
  },
  {
    check: "a full file system: takes what there is room for, says how much that was, then ENOSPC",
    daemon: "virtiofsd",
    reason: "virtiofsd answers ENOSPC to a write of which a part found room",
  },
  {
    check: "set-id bits: go when a user allocates room",
    daemon: "virtiofsd",
    reason: "the FUSE client leaves it to the daemon, and virtiofsd allocates as root, who may keep them",
  },
];

/** What of `outcomes` is not as {@link DIFFERENCES} lets expect: failures, and differences that are none any more. */
export function surprises(where: Where, outcomes: readonly Outcome[]): string[] {
  const expected = new Set(DIFFERENCES.filter((one) => concerns(one, where)).map(({ check }) => check));
  return outcomes.flatMap(({ name, result, reason }) => {
    if (result === "not ok") return expected.has(name) ? [] : [`${name} # ${reason}`];
    return expected.has(name) ? [`${name} # holds, though a difference is expected`] : [];
  });
}

function concerns({ daemon, modes, release }: Difference, where: Where): boolean {
  return (
    (daemon ?? where.daemon) === where.daemon &&
    (modes?.includes(where.mode) ?? true) &&
    (release ?? where.release) === where.release
  );
}
