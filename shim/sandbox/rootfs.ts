import { dirname, join } from "node:path";
import type { agent } from "../../proto/index.js";
import { ShimError, StatusCode } from "../error.js";
import type { RootfsMount } from "../events/task-events.js";
import { GuestPaths } from "./layout.js";
import { guestPath, type ShareEntry } from "./share-entry.js";

/** How a container gets its root file system. */
export interface RootfsPlan {
  /** What is put into the share, in this order. */
  readonly entries: readonly ShareEntry[];
  /** Where the root is in the guest, for root.path of the container's configuration. */
  readonly path: string;
  /** What the agent mounts first. */
  readonly storages: readonly agent.Storage.$Properties[];
}

/**
 * Plans the root file system that containerd described. An overlay is not mounted on the host: its layers are shown one by one,
 * and the guest's kernel puts them together, so that read-only layers can be mapped into the guest.
 *
 * @param bundleRootfs the bundle's rootfs directory, used as it is when containerd gives no mount
 * @throws ShimError INVALID_ARGUMENT
 */
export function planRootfs(
  containerId: string,
  mounts: readonly RootfsMount[],
  bundleRootfs: string,
): RootfsPlan {
  const [mount, ...others] = mounts;
  const path = `${containerId}/rootfs`;
  if (mount === undefined) {
    // Whoever made the bundle may change it: what containerd mounts for a container is the container's alone.
    const bundle = `${containerId}/bundle`;
    return plain({ kind: "bind", source: bundleRootfs, path: bundle, readOnly: false, recursive: true });
  }
  if (others.length > 0) {
    const types = mounts.map(({ type }) => type).join(", ");
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `the rootfs of ${containerId} has ${mounts.length} mounts (${types}); needed: one`,
    );
  }
  if (mount.type === "overlay") return planOverlay(containerId, mount.options);
  if (isBind(mount)) {
    const readOnly = mount.options.includes("ro");
    const recursive = mount.options.includes("rbind");
    return plain({ kind: "bind", source: mount.source, path, readOnly, recursive, isOwn: true });
  }
  return plain({ kind: "mount", mount, path, isOwn: true });
}

/** True for mounts that show a file or directory that exists already. */
export function isBind(mount: { readonly type: string; readonly options: readonly string[] }): boolean {
  return mount.type === "bind" || mount.options.includes("bind") || mount.options.includes("rbind");
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

/** Takes an overlay's options apart: Documentation/filesystems/overlayfs.rst of the kernel, "Multiple lower layers". */
export function parseOverlayOptions(options: readonly string[]): OverlayOptions {
  const optionOf = (key: string) =>
    options.find((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
  const pathOf = (key: string) => {
    const value = optionOf(key);
    return value === undefined ? undefined : unescapePath(value);
  };
  const lower = optionOf("lowerdir");
  return {
    // A colon within a path has a backslash before it, as has a backslash.
    lower: lower?.match(/(?:\\.|[^:\\])+/gs)?.map(unescapePath) ?? [],
    upper: pathOf("upperdir"),
    work: pathOf("workdir"),
    others: options.filter((option) => !/^(lowerdir|upperdir|workdir)=/.test(option)),
  };
}

function unescapePath(path: string): string {
  return path.replaceAll(/\\(.)/gs, "$1");
}

function planOverlay(containerId: string, given: readonly string[]): RootfsPlan {
  const { lower, upper, work, others } = parseOverlayOptions(given);
  if (others.includes("userxattr")) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `the rootfs of ${containerId} is an overlay with userxattr, as a containerd without privileges mounts it; needed: one without`,
    );
  }
  const isWritable = upper !== undefined && work !== undefined;
  if (lower.length === 0 || (!isWritable && (upper ?? work) !== undefined)) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `the rootfs of ${containerId} is an overlay with the options ${given.join(",")}; needed: lowerdir, and upperdir with workdir`,
    );
  }
  const layers = lower.map(
    (source, index): ShareEntry => ({
      kind: "bind",
      source,
      path: `${containerId}/lower/${index}`,
      readOnly: true,
      recursive: false,
      isOverlay: true,
      isOwn: true,
    }),
  );
  const lowerdir = `lowerdir=${layers.map(guestPath).join(":")}`;
  const path = join(GuestPaths.containers, containerId, "rootfs");
  const storage = { driver: "overlayfs", source: "overlay", fstype: "overlay", mount_point: path };
  if (!isWritable)
    return { entries: layers, path, storages: [{ ...storage, options: [lowerdir, ...others] }] };

  const { entry, upperdir, workdir } = planUpper(containerId, upper, work);
  const options = [lowerdir, `upperdir=${upperdir}`, `workdir=${workdir}`, ...features(others)];
  return { entries: [...layers, entry], path, storages: [{ ...storage, options }] };
}

/** Features whose marks in the upper directory are for one overlay with one set of inodes, and not to be committed. */
const LEFT_OFF = ["index", "metacopy", "redirect_dir"];

/** An overlay's options, with those features off that the guest's kernel may have on. */
function features(options: readonly string[]): string[] {
  const isLeftOff = (option: string) => LEFT_OFF.some((feature) => option.startsWith(`${feature}=`));
  return [...options.filter((option) => !isLeftOff(option)), ...LEFT_OFF.map((feature) => `${feature}=off`)];
}

/** Overlay wants upper and work on one mount: what is shown is the directory that holds both. */
function planUpper(containerId: string, upper: string, work: string) {
  const parent = dirname(upper);
  if (dirname(work) !== parent) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `upperdir ${upper} and workdir ${work} of ${containerId} lie in different directories; needed: one for both`,
    );
  }
  const path = `${containerId}/upper`;
  const entry: ShareEntry = {
    ...{ kind: "bind", source: parent, path },
    ...{ readOnly: false, recursive: false, isOverlay: true, isOwn: true },
  };
  const inGuest = (directory: string) => join(guestPath(entry), directory.slice(parent.length));
  return { entry, upperdir: inGuest(upper), workdir: inGuest(work) };
}

function plain(entry: ShareEntry): RootfsPlan {
  return { entries: [entry], path: guestPath(entry), storages: [] };
}
