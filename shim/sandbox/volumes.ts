import { statSync } from "node:fs";
import type { agent } from "../../proto/index.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import { GuestPaths } from "./layout.js";
import { isBind } from "./rootfs.js";
import { guestPath, type ShareEntry } from "./share-entry.js";

type Mount = agent.Mount.$Properties;

/** How a container gets its mounts. */
export interface VolumePlan {
  /** What is put into the share. */
  readonly entries: readonly ShareEntry[];
  /** The mounts, with sources as the guest finds them. */
  readonly mounts: readonly Mount[];
}

const SHM = "/dev/shm";

/**
 * Plans a container's mounts: what they take from the host goes into the share. Mounts that take nothing from the host stay as
 * they are.
 *
 * @throws ShimError INVALID_ARGUMENT when a source does not exist
 */
export function planVolumes(containerId: string, mounts: readonly Mount[]): VolumePlan {
  const entries: ShareEntry[] = [];
  const planned = mounts.map((mount): Mount => {
    const { source = "", destination = "", type = "" } = mount;
    const options = mount.options ?? [];
    // The pod's shared memory is the guest's.
    if (destination === SHM) return { ...mount, type: "bind", source: GuestPaths.shm, options: ["rbind"] };
    if (!isBind({ type, options }) || isOfTheKernel(source)) return mount;
    const entry: ShareEntry = {
      kind: "bind",
      source,
      path: `${containerId}/volumes/${entries.length}`,
      readOnly: options.includes("ro"),
      recursive: options.includes("rbind"),
    };
    entries.push(entry);
    return { ...mount, type: "bind", source: guestPath(entry) };
  });
  return { entries, mounts: planned };
}

/** What a kernel makes is the guest's own in a guest: /proc, /sys, devices. */
function isOfTheKernel(source: string): boolean {
  if (/^\/(proc|sys)(\/|$)/.test(source) || source === "/dev") return true;
  if (!source.startsWith("/dev/")) return false;
  try {
    const stat = statSync(source);
    return !stat.isFile() && !stat.isDirectory();
  } catch (cause) {
    throw new ShimError(StatusCode.INVALID_ARGUMENT, `the source of a mount: ${messageOf(cause)}`, { cause });
  }
}
