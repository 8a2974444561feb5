import { RouteSocket } from "../../../lib/netlink/index.js";
import { readIfThere } from "../../../lib/read-if-there.js";
import { hasErrno } from "../../../lib/sys/errno.js";
import { close } from "../../../lib/sys/file.js";
import { NetworkNamespace } from "../../../lib/sys/network-namespace.js";
import { writeFileAtomically } from "../../address.js";
import { joinCard, type NetworkCard, partInterface } from "./network-card.js";
import type { PodNamespace } from "./pod-namespace.js";
import { type PodInterface, scanInterfaces } from "./scan.js";

/** What joins a virtual machine to the network of its sandbox: a card for each interface of the namespace. */
export class PodNetwork {
  readonly #socket: RouteSocket;
  readonly #cards: NetworkCard[] = [];
  /** Indexes of the interfaces that have their card. */
  readonly #joined: number[] = [];
  #interfaces: readonly PodInterface[] = [];

  private constructor(readonly namespace: NetworkNamespace) {
    this.#socket = namespace.run(() => new RouteSocket());
  }

  /**
   * Takes over the namespace.
   *
   * @param record a file that tells {@link removeRecordedNetwork} what there is to undo
   * @throws ShimError, SysError; nothing is left of it then
   */
  static join({ namespace, path }: PodNamespace, record: string): PodNetwork {
    const network = new PodNetwork(namespace);
    try {
      network.#join(path, record);
      return network;
    } catch (error) {
      network.part();
      throw error;
    }
  }

  /** Those of the namespace that the guest has cards for. */
  get interfaces(): readonly PodInterface[] {
    return this.#interfaces;
  }

  #join(path: string, record: string): void {
    this.#interfaces = scanInterfaces(this.#socket);
    const indexes = this.#interfaces.map(({ link }) => link.index);
    // A namespace without a name goes with its last process.
    if (indexes.length > 0 && path !== "") writeFileAtomically(record, [path, ...indexes].join("\n"));
    for (const [index, each] of this.#interfaces.entries()) {
      this.#cards.push(joinCard(this.namespace, this.#socket, each, index));
      this.#joined.push(each.link.index);
    }
  }

  /** The cards, in the order of {@link interfaces}, whose descriptors are the caller's from now on. */
  takeCards(): readonly NetworkCard[] {
    return this.#cards.splice(0);
  }

  /** Leaves the namespace as it was. */
  part(): void {
    try {
      for (const { tapFd } of this.takeCards()) close(tapFd);
      for (const linkIndex of this.#joined) partInterface(this.#socket, linkIndex);
    } finally {
      this.#socket.close();
      this.namespace.close();
    }
  }
}

/** As {@link PodNetwork.part}, for a sandbox whose shim is gone. No record means that there is nothing, nor is there in a namespace that has gone. */
export function removeRecordedNetwork(record: string): void {
  const [path = "", ...indexes] = readIfThere(record)?.split("\n") ?? [];
  if (path === "") return;
  let namespace: NetworkNamespace;
  try {
    namespace = NetworkNamespace.open(path);
  } catch (error) {
    // EINVAL: a plain file, which the namespace was mounted on.
    if (hasErrno(error, "ENOENT", "EINVAL")) return;
    throw error;
  }
  try {
    const socket = namespace.run(() => new RouteSocket());
    for (const index of indexes) partInterface(socket, Number(index));
    socket.close();
  } finally {
    namespace.close();
  }
}
