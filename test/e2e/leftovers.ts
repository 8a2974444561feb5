import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { mountedHierarchies } from "../../lib/cgroup/hierarchies.js";
import { mountsBelow, processesMentioning } from "../../setup/run/leftovers.js";
import { socketPath } from "../../shim/address.js";

/** Where the shim keeps what it has of running sandboxes. */
const SANDBOXES = "/run/kata-fs";
/** Of containerd, unless it is told another one. ctr's containers have their control groups below it. */
export const NAMESPACE = "default";
/** Where control groups of sandboxes may be, from the root of each hierarchy. */
const CGROUP_PARENTS = [NAMESPACE, "kata_overhead"];

/** Whose sandboxes are meant, among all of this host. */
export interface Owner {
  /** Part of the names of all its containers, and of nobody else's. */
  readonly id: string;
  /** Where its containerd keeps bundles. */
  readonly state: string;
  /** containerd's gRPC socket. */
  readonly address: string;
  /** Its containers, those that are gone, too. */
  readonly names: Iterable<string>;
}

/** What there is on this host of the owner's sandboxes: processes, mounts, directories, control groups and sockets, each as a line. */
export async function foundOf({ id, state, address, names }: Owner): Promise<string[]> {
  const processes = (await processesMentioning(id)).filter(
    ({ command }) => !command.includes("--config") && !command.startsWith(address),
  );
  const below = (parent: string) =>
    entries(parent)
      .filter((name) => name.includes(id))
      .map((name) => join(parent, name));
  return [
    ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
    ...(await mountsBelow(state))
      .filter((point) => point.includes("/io.containerd.runtime"))
      .map((point) => `mount ${point}`),
    ...[SANDBOXES, ...cgroupParents()].flatMap(below),
    ...[...names].map((name) => socketPath(address, NAMESPACE, name)).filter(existsSync),
  ];
}

function cgroupParents(): string[] {
  return mountedHierarchies().flatMap(({ mountPoint }) =>
    CGROUP_PARENTS.map((parent) => join(mountPoint, parent)),
  );
}

function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
