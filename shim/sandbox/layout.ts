import { join } from "node:path";

/** One directory for each sandbox. Short, since sockets lie below: a socket's address has at most 107 bytes. */
const STATE_DIRECTORY = "/run/kata-fs";

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
  /** Between QEMU and the shim's vsock device. */
  readonly vsockDeviceSocket: string;
  /** Processes to end when the shim could not: see process-file.ts. */
  readonly processes: string;
}

export function sandboxLayout(id: string): SandboxLayout {
  const directory = join(STATE_DIRECTORY, id);
  return {
    directory,
    mountPoints: join(directory, "mountpoints"),
    shared: join(directory, "shared"),
    guestSocket: join(directory, "guest.sock"),
    sharedSocket: join(directory, "shared.sock"),
    metricsSocket: join(directory, "metrics.sock"),
    vsockDeviceSocket: join(directory, "vsock.sock"),
    processes: join(directory, "processes"),
  };
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
