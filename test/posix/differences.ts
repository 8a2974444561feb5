import type { Outcome } from "./suite/report.js";

/** A check that does not hold, and why that is right or cannot be helped. */
export interface Difference {
  /** As the suite names it. */
  readonly check: string;
  /** Where it does not hold; everywhere when undefined. */
  readonly daemon?: "kata-fsd" | "virtiofsd";
  readonly reason: string;
}

const NO_IOCTL = "virtiofsd answers no IOCTL";

export const DIFFERENCES: readonly Difference[] = [
  {
    check: "space: COLLAPSE_RANGE and INSERT_RANGE move what is behind",
    reason: "Linux's FUSE client refuses these modes without asking the daemon",
  },
  {
    check: "permissions: an append-only file grows, and nothing else",
    daemon: "virtiofsd",
    reason: NO_IOCTL,
  },
  { check: "permissions: an immutable file stays as it is", daemon: "virtiofsd", reason: NO_IOCTL },
  { check: "permissions: only root sets flags of chattr", daemon: "virtiofsd", reason: NO_IOCTL },
  {
    check: "links: O_TMPFILE makes a file without a name, which may get one",
    daemon: "virtiofsd",
    reason: "virtiofsd has no TMPFILE",
  },
];

/** What of `outcomes` is not as {@link DIFFERENCES} lets expect: failures, and differences that are none any more. */
export function surprises(daemon: "kata-fsd" | "virtiofsd", outcomes: readonly Outcome[]): string[] {
  return outcomes.flatMap(({ name, result, reason }) => {
    const isExpected = DIFFERENCES.some(
      (difference) => difference.check === name && (difference.daemon ?? daemon) === daemon,
    );
    if (result === "not ok") return isExpected ? [] : [`${name} # ${reason}`];
    return isExpected ? [`${name} # holds, though a difference is expected`] : [];
  });
}
