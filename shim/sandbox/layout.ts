import { createHash } from "node:crypto";
import { existsSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { SandboxIdentity } from "../task/sandbox-port.js";

/** One directory for each sandbox. Short, since sockets lie below: a socket's address has at most 107 bytes. */
export const STATE_DIRECTORY = "/run/kata-fs";

/** Kubernetes' ids are this long; containerd's may be longer, and only the directory's end must be unique. */
const ID_MAX_LENGTH = 64;
const DIGEST_LENGTH = 8;

/** Where a sandbox keeps its things on the host. */
export interface SandboxLayout {
  readonly directory: string;
  /** Plain directories, which become the mount points of {@link shared}. */
  readonly mountPoints: string;
  /** What the guest sees of the host: {@link mountPoints} again, read-only, with the containers' mounts on it. */
  readonly shared: string;
  readonly guestSocket: string;
  readonly sharedSocket: string;
  readonly metricsSocket: string;
  readonly eventsSocket: string;
  /** Between QEMU and the shim's vsock device. */
  readonly vsockDeviceSocket: string;
  /** The guest's vsock ports, for programs of the host. */
  readonly vsockSocket: string;
  /** Processes to end when the shim could not: see child.ts. */
  readonly processes: string;
  /** Control groups to remove when the shim could not: see host-cgroups.ts. */
  readonly cgroups: string;
}

/** @returns the same for the same sandbox, in whichever process: what cleans up needs no record of where things are */
export function sandboxLayout({ address, namespace, id }: SandboxIdentity): SandboxLayout {
  const digest = createHash("sha256").update(`${address}\0${namespace}\0${id}`).digest("hex");
  const directory = join(STATE_DIRECTORY, `${id.slice(0, ID_MAX_LENGTH)}-${digest.slice(0, DIGEST_LENGTH)}`);
  return {
    directory,
    mountPoints: join(directory, "mountpoints"),
    shared: join(directory, "shared"),
    guestSocket: join(directory, "guest.sock"),
    sharedSocket: join(directory, "shared.sock"),
    metricsSocket: join(directory, "metrics.sock"),
    eventsSocket: join(directory, "events.sock"),
    vsockDeviceSocket: join(directory, "vsock-device.sock"),
    vsockSocket: join(directory, "vsock.sock"),
    processes: join(directory, "processes"),
    cgroups: join(directory, "cgroups"),
  };
}

/**
 * Removes a sandbox's directory.
 *
 * @throws Error while the share is mounted: what lies in it is the host's and must not be touched
 */
export function removeDirectory({ directory, shared }: SandboxLayout): void {
  // Fails unless it is an empty directory and no mount point.
  if (existsSync(shared)) rmdirSync(shared);
  rmSync(directory, { recursive: true, force: true });
}

/** Paths of the guest, as Kata's agent has them. */
export const GuestPaths = {
  /** Where the agent mounts the sandbox's share. */
  shared: "/run/kata-containers/shared/containers",
  /** One folder for each container's own mounts. */
  containers: "/run/kata-containers",
  shm: "/run/kata-containers/sandbox/shm",
} as const;

/** virtio-fs tags of the two devices. */
export const Tags = { guest: "kataGuest", shared: "kataShared" } as const;
