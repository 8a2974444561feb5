import type { GuestFacts, Mount } from "./facts.js";
import { SAMPLE_BYTES } from "./sample-file.js";
import type { SandboxReport } from "./sandbox-report.js";

/** Everything measured in one run. */
export interface Measurements {
  /** Whether the configuration wants DAX: without it there is less to claim. */
  readonly dax: boolean;
  readonly hostKernel: string;
  /** MD5 of the sample file as it was made on the host. */
  readonly sampleMd5: string;
  readonly guest: GuestFacts;
  readonly report: SandboxReport;
}

/** One claim about the run, judged by its measurements. */
export interface Claim {
  readonly title: string;
  readonly holds: boolean;
  /** What was measured. */
  readonly evidence: string;
}

/** The guest's folder under which the agent mounts the sandbox's own share: see shim/sandbox/layout.ts. */
const SHARE_MOUNT = "/run/kata-containers/shared/own/";

/** Of the sample file's bytes, as many may pass the daemon or the page cache: programs and directories do, too. */
const ALLOWED_SHARE = 0.1;

const MEBIBYTE = 2 ** 20;

/** Judges a run of the demonstration. */
export function judge(measurements: Measurements): Claim[] {
  const claims = [kernelIsTheGuests, rootIsLayered, fileIsIntact];
  if (measurements.dax) claims.push(fileWasReadByDax, pageCacheStayedEmpty);
  return claims.map((claim) => claim(measurements));
}

function kernelIsTheGuests({ hostKernel, guest }: Measurements): Claim {
  return {
    title: "kernel",
    holds: guest.kernel !== "" && guest.kernel !== hostKernel,
    evidence: `${guest.kernel} in the guest, ${hostKernel} on the host`,
  };
}

/** The container sees its root as an overlay with paths of the guest. */
function rootIsLayered({ guest }: Measurements): Claim {
  const root = guest.mounts.findLast(({ point }) => point === "/");
  const layers = root?.type === "overlay" ? lowerDirectories(root) : [];
  const onShare = layers.length > 1 && layers.every((path) => path.startsWith(SHARE_MOUNT));
  return {
    title: "root",
    holds: onShare,
    evidence: `${root?.type ?? "no root mount"}, ${layers.length} lower layers${onShare ? " on virtio-fs" : ""}`,
  };
}

function fileIsIntact({ guest, sampleMd5 }: Measurements): Claim {
  return {
    title: "contents",
    holds: guest.sampleMd5 === sampleMd5,
    evidence: `${mebibytes(SAMPLE_BYTES)} read in the guest, MD5 ${guest.sampleMd5}, on the host ${sampleMd5}`,
  };
}

function fileWasReadByDax({ report: { share } }: Measurements): Claim {
  return {
    title: "DAX",
    holds:
      share.mappedRanges > 0 &&
      share.mappedBytes >= SAMPLE_BYTES &&
      share.readBytes <= SAMPLE_BYTES * ALLOWED_SHARE,
    evidence:
      `${share.mappedRanges} ranges, ${mebibytes(share.mappedBytes)} mapped; ` +
      `all other reads of the sandbox's share together: ${mebibytes(share.readBytes)}`,
  };
}

function pageCacheStayedEmpty({ guest }: Measurements): Claim {
  return {
    title: "page cache",
    holds: guest.pageCacheGrowthBytes <= SAMPLE_BYTES * ALLOWED_SHARE,
    evidence: `grew by ${mebibytes(guest.pageCacheGrowthBytes)} in the guest while ${mebibytes(SAMPLE_BYTES)} were read`,
  };
}

function lowerDirectories({ options }: Mount): string[] {
  // Kernels since 6.8 show one lowerdir+ option a layer when they were given so; older ones a list.
  return options.flatMap((option) => {
    const [key, value = ""] = option.split("=", 2);
    return key === "lowerdir" || key === "lowerdir+" ? value.split(":") : [];
  });
}

export function mebibytes(bytes: number): string {
  return `${(bytes / MEBIBYTE).toFixed(1)} MiB`;
}
