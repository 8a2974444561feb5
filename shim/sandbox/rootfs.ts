import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import type { agent } from "../../proto/index.js";
import { ShimError, StatusCode } from "../error.js";
import type { RootfsMount } from "../events/task-events.js";
import { GuestPaths } from "./layout.js";
import type { Share } from "./share.js";

/** A container's root as the guest gets it. */
export interface GuestRootfs {
  /** For root.path of the container's configuration. */
  readonly path: string;
  /** What the agent mounts first. */
  readonly storages: agent.Storage.$Properties[];
}

/**
 * Puts the root file system that containerd described into the share. An overlay is not mounted here: its layers are shown
 * one by one, and the guest's kernel puts them together, so that read-only layers can be mapped into the guest.
 *
 * @param bundleRootfs the bundle's rootfs directory, used as it is when containerd gives no mount
 * @throws ShimError, SysError
 */
export function shareRootfs(
  share: Share,
  containerId: string,
  mounts: readonly RootfsMount[],
  bundleRootfs: string,
): GuestRootfs {
  const [mount, ...others] = mounts;
  const path = `${containerId}/rootfs`;
  if (mount === undefined) return plain(share.bind(bundleRootfs, path, { readOnly: false, recursive: true }));
  if (others.length > 0) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `the rootfs of ${containerId} has ${mounts.length} mounts (${mounts.map(({ type }) => type).join(", ")}); needed: one`,
    );
  }
  if (mount.type === "overlay") return shareOverlay(share, containerId, mount);
  if (isBind(mount)) {
    const readOnly = mount.options.includes("ro");
    return plain(share.bind(mount.source, path, { readOnly, recursive: mount.options.includes("rbind") }));
  }
  return plain(mountOnHost(share, path, mount));
}

/** True for mounts that show a file or directory that exists already. */
export function isBind({
  type,
  options,
}: {
  readonly type: string;
  readonly options: readonly string[];
}): boolean {
  return type === "bind" || options.includes("bind") || options.includes("rbind");
}

/** An overlay's options by kind. */
export interface OverlayOptions {
  /** Topmost first. */
  readonly lower: readonly string[];
  readonly upper: string | undefined;
  readonly work: string | undefined;
  /** Options that are no paths. */
  readonly others: readonly string[];
}

export function parseOverlayOptions(options: readonly string[]): OverlayOptions {
  const pathOf = (key: string) =>
    options.find((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
  return {
    lower: pathOf("lowerdir")?.split(":") ?? [],
    upper: pathOf("upperdir"),
    work: pathOf("workdir"),
    others: options.filter((option) => !/^(lowerdir|upperdir|workdir)=/.test(option)),
  };
}

function shareOverlay(share: Share, containerId: string, mount: RootfsMount): GuestRootfs {
  const { lower, upper, work, others } = parseOverlayOptions(mount.options);
  if (lower.length === 0 || (upper === undefined) !== (work === undefined)) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `the rootfs of ${containerId} is an overlay with the options ${mount.options.join(",")}; needed: lowerdir, and upperdir with workdir`,
    );
  }
  const lowerPaths = lower.map((source, index) =>
    share.bind(source, `${containerId}/lower/${index}`, { readOnly: true }),
  );
  const options = [`lowerdir=${lowerPaths.join(":")}`, ...others];
  if (upper !== undefined && work !== undefined) options.push(...shareUpper(share, containerId, upper, work));
  const path = join(GuestPaths.containers, containerId, "rootfs");
  const storage = { driver: "overlayfs", source: "overlay", fstype: "overlay", options, mount_point: path };
  return { path, storages: [storage] };
}

/** Overlay wants upper and work on one mount: what is shown is the directory that holds both. */
function shareUpper(share: Share, containerId: string, upper: string, work: string): string[] {
  const parent = dirname(upper);
  if (dirname(work) !== parent) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `upperdir ${upper} and workdir ${work} of ${containerId} lie in different directories; needed: one for both`,
    );
  }
  const guest = share.bind(parent, `${containerId}/upper`, { readOnly: false });
  return [`upperdir=${guest}${upper.slice(parent.length)}`, `workdir=${guest}${work.slice(parent.length)}`];
}

/** Any other file system is mounted by mount(8), which knows loop devices and helpers, right in the share. */
function mountOnHost(share: Share, path: string, { type, source, options }: RootfsMount): string {
  const target = share.makeDirectory(path);
  const { status, stderr, error } = spawnSync(
    "mount",
    ["-t", type, "-o", options.join(","), source, target],
    {
      encoding: "utf8",
    },
  );
  if (status !== 0) {
    throw new ShimError(
      StatusCode.FAILED_PRECONDITION,
      `mount of ${source} (${type}): ${error?.message ?? stderr}`,
    );
  }
  return share.adopt(path);
}

function plain(path: string): GuestRootfs {
  return { path, storages: [] };
}
