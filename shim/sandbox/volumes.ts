import { statSync } from "node:fs";
import type { agent } from "../../proto/index.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import { GuestPaths } from "./layout.js";
import { memoryVolume } from "./memory-volume.js";
import { isBind } from "./rootfs.js";
import { guestPath, type ShareEntry } from "./share-entry.js";

type Mount = agent.Mount.$Properties;

/** How a container gets its mounts. */
export interface VolumePlan {
  /** What is put into the share. */
  readonly entries: readonly ShareEntry[];
  /** The mounts, with sources as the guest finds them. */
  readonly mounts: readonly Mount[];
  /** What the agent mounts first. */
  readonly storages: readonly agent.Storage.$Properties[];
}

const SHM = "/dev/shm";
/** How the guest's is bound, which has these flags itself: a bind mount may not have fewer. */
const SHM_OPTIONS = ["rbind", "nosuid", "noexec", "nodev"];

/**
 * Plans a container's mounts: what they take from the host goes into the share. A volume in memory is in the guest's. Mounts that
 * take nothing from the host stay as they are.
 *
 * @throws ShimError INVALID_ARGUMENT when a source does not exist, or cannot be what the mount wants
 */
export function planVolumes(containerId: string, mounts: readonly Mount[]): VolumePlan {
  const entries: ShareEntry[] = [];
  const storages: agent.Storage.$Properties[] = [];
  const planned = mounts.map((mount): Mount => {
    const { source = "", destination = "", type = "" } = mount;
    const options = mount.options ?? [];
    const memory = memoryVolume(source);
    if (memory !== undefined) {
      storages.push(memory);
      return { ...mount, type: "bind", source: memory.mount_point ?? "" };
    }
    // The pod's shared memory is the guest's.
    if (destination === SHM) return { ...mount, type: "bind", source: GuestPaths.shm, options: SHM_OPTIONS };
    if (!isBind({ type, options }) || isOfTheKernel(source)) return mount;
    requireOneWay(destination, options);
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
  return { entries, mounts: planned, storages };
}

/** What the guest mounts stays in the guest. */
function requireOneWay(destination: string, options: readonly string[]): void {
  if (!options.some((option) => option === "shared" || option === "rshared")) return;
  throw new ShimError(
    StatusCode.INVALID_ARGUMENT,
    `mountPropagation: Bidirectional of ${destination} is not supported by kata-fs: a virtual machine's mounts do not reach the host`,
  );
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
