import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { mountedHierarchies } from "../../lib/cgroup/hierarchies.js";
import { mountsBelow, processesMentioning } from "../../setup/run/leftovers.js";
import { socketPath } from "../../shim/address.js";

/** Where the shim keeps what it has of running sandboxes. */
const SANDBOXES = "/run/kata-fs";
/** Of containerd, unless it is told another one. ctr's containers have their control groups below it. */
export const NAMESPACE = "default";
/** Where control groups of sandboxes may be, too, from the root of each hierarchy. */
const OVERHEAD = "kata_overhead";

/** Whose sandboxes are meant, among all of this host. */
export interface Owner {
  /** Part of the names of all its containers, and of nobody else's. */
  readonly id: string;
  /** Where its containerd keeps bundles. */
  readonly state: string;
  /** containerd's gRPC socket. */
  readonly address: string;
  /** containerd's, of all its containers. */
  readonly namespace: string;
  /** Its containers, those that are gone, too. */
  readonly names: Iterable<string>;
}

/** What there is on this host of the owner's sandboxes: processes, mounts, directories, control groups and sockets, each as a line. */
export async function foundOf({ id, state, address, namespace, names }: Owner): Promise<string[]> {
  const processes = (await processesMentioning(id)).filter(
    ({ command }) => !command.includes("--config") && !command.startsWith(address),
  );
  const below = (parent: string) =>
    entries(parent)
      .filter((name) => name.includes(id) || [...names].some((known) => name.includes(known)))
      .map((name) => join(parent, name));
  return [
    ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
    ...(await mountsBelow(state))
      .filter((point) => /\/io\.containerd\.(runtime|sandbox)\./.test(point))
      .map((point) => `mount ${point}`),
    ...[SANDBOXES, ...cgroupParents(namespace)].flatMap(below),
    ...[...names].map((name) => socketPath(address, namespace, name)).filter(existsSync),
  ];
}

function cgroupParents(namespace: string): string[] {
  return mountedHierarchies().flatMap(({ mountPoint }) =>
    [namespace, OVERHEAD].map((parent) => join(mountPoint, parent)),
  );
}

function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
