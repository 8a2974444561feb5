import type { AgentClient } from "./agent-client.js";
import { GuestPaths, Tags } from "./layout.js";

/** What a sandbox is to its guest. */
export interface GuestSandbox {
  readonly id: string;
  /** Empty for the guest's own. */
  readonly hostname: string;
  /** Size of /dev/shm, which all containers share. */
  readonly sharedMemoryBytes: number;
  readonly dax: boolean;
}

/**
 * Has the agent mount both shares, and a memory file system for /dev/shm of all containers. The guest's clock, which began at a full second
 * of the machine's, is set: times of files come from both clocks, and must not run backwards between them.
 */
export async function createGuestSandbox(
  agent: AgentClient,
  { id, hostname, sharedMemoryBytes, dax }: GuestSandbox,
): Promise<void> {
  await agent.setClock(Date.now());
  await agent.createSandbox({
    sandbox_id: id,
    hostname,
    storages: [
      {
        driver: "virtio-fs",
        source: Tags.shared,
        fstype: "virtiofs",
        mount_point: `${GuestPaths.shared}/`,
        options: ["nodev"],
      },
      {
        driver: "virtio-fs",
        source: Tags.own,
        fstype: "virtiofs",
        mount_point: `${GuestPaths.own}/`,
        options: dax ? ["nodev", "dax=inode"] : ["nodev"],
      },
      {
        driver: "ephemeral",
        source: "shm",
        fstype: "tmpfs",
        mount_point: GuestPaths.shm,
        options: ["noexec", "nosuid", "nodev", "mode=1777", `size=${sharedMemoryBytes}`],
      },
    ],
  });
}
