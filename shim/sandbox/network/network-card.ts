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
import { openTap, TUN_DEVICE } from "../../../lib/sys/tap.js";
import { messageOf, ShimError, StatusCode } from "../../error.js";
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
 * @throws ShimError FAILED_PRECONDITION when the host's kernel lacks what it takes, SysError; nothing is left of it then
 */
export function joinCard(
  namespace: NetworkNamespace,
  socket: RouteSocket,
  { link }: PodInterface,
  index: number,
): NetworkCard {
  const name = `tap${index}_kata`;
  const tapFd = requiringKernel(`${TUN_DEVICE}, which its module tun makes`, () =>
    namespace.run(() => openTap(name)),
  );
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
      requiringKernel("the modules sch_ingress, cls_u32 and act_mirred", () => {
        socket.change(Rtm.NEWQDISC, encodeIngress(from.index), options);
        isJoined = true;
        socket.change(Rtm.NEWTFILTER, encodeRedirect(from.index, to.index), options);
      });
    }
    return { mac: link.mac, tapFd };
  } catch (error) {
    close(tapFd);
    // What somebody else has hung there is not ours to take away.
    if (isJoined) partInterface(socket, link.index);
    throw error;
  }
}

/** ENOENT is what the kernel says of a device, a discipline, a filter or an action that it does not have. */
function requiringKernel<T>(needed: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!hasErrno(cause, "ENOENT", "EOPNOTSUPP")) throw cause;
    const found = messageOf(cause);
    const message = `the sandbox has a network, and the host's kernel no means for it (${found}); needed: ${needed}`;
    throw new ShimError(StatusCode.FAILED_PRECONDITION, message, { cause });
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
