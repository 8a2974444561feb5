import {
  encodeIngress,
  encodeLinkChange,
  encodeRedirect,
  NLM_F_CREATE,
  NLM_F_EXCL,
  type RouteSocket,
  Rtm,
} from "../../../lib/netlink/index.js";
import { hasErrno } from "../../../lib/sys/errno.js";
import { close } from "../../../lib/sys/file.js";
import type { NetworkNamespace } from "../../../lib/sys/network-namespace.js";
import { openTap } from "../../../lib/sys/tap.js";
import type { PodInterface } from "./scan.js";

/** A virtual machine's network card, joined to an interface of its network namespace. */
export interface NetworkCard {
  readonly mac: string;
  /** Of the tap interface. The card is there as long as it is open, here or in QEMU. */
  readonly tapFd: number;
}

/**
 * Makes a tap interface beside `linked` and has the kernel hand over everything that comes in at either to the other one: packets
 * never meet the namespace's own protocols. The card has the interface's MAC address, and so its place in the network.
 *
 * @throws SysError; nothing is left of it then
 */
export function joinCard(
  namespace: NetworkNamespace,
  socket: RouteSocket,
  { link }: PodInterface,
  index: number,
): NetworkCard {
  const name = `tap${index}_kata`;
  const tapFd = namespace.run(() => openTap(name));
  let isJoined = false;
  try {
    const tap = socket.links().find((each) => each.name === name);
    if (tap === undefined) throw new Error(`interface ${name} is not there`);
    const change = { mtuBytes: link.mtuBytes, isUp: true };
    socket.change(Rtm.NEWLINK, encodeLinkChange(tap.index, change), { subject: `interface ${name}` });
    for (const [from, to] of [
      [link, tap],
      [tap, link],
    ] as const) {
      const options = {
        flags: NLM_F_CREATE | NLM_F_EXCL,
        subject: `traffic from ${from.name} to ${to.name}`,
      };
      socket.change(Rtm.NEWQDISC, encodeIngress(from.index), options);
      isJoined = true;
      socket.change(Rtm.NEWTFILTER, encodeRedirect(from.index, to.index), options);
    }
    return { mac: link.mac, tapFd };
  } catch (error) {
    close(tapFd);
    // What somebody else has hung there is not ours to take away.
    if (isJoined) partInterface(socket, link.index);
    throw error;
  }
}

/** Lets an interface's packets go where they went before. Harmless when they do, and when there is no such interface any more. */
export function partInterface(socket: RouteSocket, linkIndex: number): void {
  try {
    socket.change(Rtm.DELQDISC, encodeIngress(linkIndex), { subject: `interface ${linkIndex}` });
  } catch (error) {
    // ENODEV: the interface has gone; EINVAL or ENOENT: it has no such discipline.
    if (!hasErrno(error, "ENODEV", "EINVAL", "ENOENT")) throw error;
  }
}
