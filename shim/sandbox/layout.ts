import { createHash } from "node:crypto";
import { existsSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { SandboxIdentity } from "../task/sandbox-port.js";

/** One directory for each sandbox. Short, since sockets lie below: a socket's address has at most 107 bytes. */
export const STATE_DIRECTORY = "/run/kata-fs";

/** Kubernetes' ids are this long; containerd's may be longer, and only the directory's end must be unique. */
const ID_MAX_LENGTH = 64;
const DIGEST_LENGTH = 8;

/** A tree that the guest sees of the host. */
export interface ShareDirectories {
  /** Plain directories, which become the mount points of {@link shared}. */
  readonly mountPoints: string;
  /** What is shown: {@link mountPoints} again, read-only, with the containers' mounts on it. */
  readonly shared: string;
}

/** Where a sandbox keeps its things on the host. The tree that it has itself is for what the host changes, too. */
export interface SandboxLayout extends ShareDirectories {
  readonly directory: string;
  /** The tree for what nobody outside of the sandbox changes. */
  readonly own: ShareDirectories;
  readonly guestSocket: string;
  readonly sharedSocket: string;
  readonly ownSocket: string;
  readonly metricsSocket: string;
  /** Names the build of kata-fsd that an upgrade is to. */
  readonly daemonBuild: string;
  readonly eventsSocket: string;
  /** Between QEMU and the shim's vsock device. */
  readonly vsockDeviceSocket: string;
  /** The guest's vsock ports, for programs of the host. */
  readonly vsockSocket: string;
  /** Processes to end when the shim could not: see child.ts. */
  readonly processes: string;
  /** Whose sandbox it is: see record.ts. */
  readonly record: string;
  /** The network namespace to leave as it was when the shim could not: see pod-network.ts. */
  readonly network: string;
  /** Control groups to remove when the shim could not: see host-cgroups.ts. */
  readonly cgroups: string;
}

/** @returns the same for the same sandbox, in whichever process: what cleans up needs no record of where things are */
export function sandboxLayout({ address, namespace, id }: SandboxIdentity): SandboxLayout {
  const digest = createHash("sha256").update(`${address}\0${namespace}\0${id}`).digest("hex");
  return layoutOf(join(STATE_DIRECTORY, `${id.slice(0, ID_MAX_LENGTH)}-${digest.slice(0, DIGEST_LENGTH)}`));
}

/** The layout of a sandbox whose directory was found. */
export function layoutOf(directory: string): SandboxLayout {
  return {
    directory,
    mountPoints: join(directory, "mountpoints"),
    shared: join(directory, "shared"),
    own: { mountPoints: join(directory, "own-mountpoints"), shared: join(directory, "own") },
    guestSocket: join(directory, "guest.sock"),
    sharedSocket: join(directory, "shared.sock"),
    ownSocket: join(directory, "own.sock"),
    metricsSocket: join(directory, "metrics.sock"),
    daemonBuild: join(directory, "daemon-build"),
    eventsSocket: join(directory, "events.sock"),
    vsockDeviceSocket: join(directory, "vsock-device.sock"),
    vsockSocket: join(directory, "vsock.sock"),
    processes: join(directory, "processes"),
    record: join(directory, "sandbox.json"),
    network: join(directory, "network"),
    cgroups: join(directory, "cgroups"),
  };
}

/**
 * Removes a sandbox's directory.
 *
 * @throws Error while the share is mounted: what lies in it is the host's and must not be touched
 */
export function removeDirectory({ directory, shared, own }: SandboxLayout): void {
  // Fails unless they are empty directories and no mount points.
  for (const share of [shared, own.shared]) if (existsSync(share)) rmdirSync(share);
  rmSync(directory, { recursive: true, force: true });
}

/** Paths of the guest, as Kata's agent has them. */
export const GuestPaths = {
  /** Where the agent mounts the sandbox's share. */
  shared: "/run/kata-containers/shared/containers",
  /** Where it mounts what nobody outside of the sandbox changes. */
  own: "/run/kata-containers/shared/own",
  /** One folder for each container's own mounts. */
  containers: "/run/kata-containers",
  shm: "/run/kata-containers/sandbox/shm",
  /** One folder for each volume that is in the guest's memory. */
  memoryVolumes: "/run/kata-containers/sandbox/ephemeral",
} as const;

/** virtio-fs tags of the three devices. */
export const Tags = { guest: "kataGuest", shared: "kataShared", own: "kataOwn" } as const;
