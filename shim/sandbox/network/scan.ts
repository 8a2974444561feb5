import {
  IFF_LOOPBACK,
  type InterfaceAddress,
  type Link,
  type Neighbour,
  NUD_PERMANENT,
  NUD_REACHABLE,
  type Route,
  type RouteSocket,
} from "../../../lib/netlink/index.js";
import { ShimError, StatusCode } from "../../error.js";

/** RT_SCOPE_LINK: an address that the guest's interface makes for itself, of the same MAC address. */
const RT_SCOPE_LINK = 253;
const MAC_TEXT_LENGTH = 17;

/** An interface of a network namespace, with all that the guest's must have as well. */
export interface PodInterface {
  readonly link: Link;
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
}

/**
 * The interfaces of a namespace that its guest is to have: all that have an address, but the loopback one.
 *
 * @throws ShimError INVALID_ARGUMENT for one that no virtual network card can be joined to; SysError
 */
export function scanInterfaces(socket: RouteSocket): PodInterface[] {
  const [links, addresses, routes, neighbours] = [
    socket.links(),
    socket.addresses(),
    socket.routes(),
    socket.neighbours(),
  ];
  return links.flatMap((link): PodInterface[] => {
    const isIts = ({ linkIndex }: { readonly linkIndex: number }) => linkIndex === link.index;
    const its = addresses.filter(isIts);
    if ((link.flags & IFF_LOOPBACK) !== 0 || its.length === 0) return [];
    requireEthernet(link);
    const gateways = new Set(routes.filter(isIts).map(({ gateway }) => gateway));
    return [
      {
        link,
        addresses: its.filter(({ scope, address }) => !(scope === RT_SCOPE_LINK && address.includes(":"))),
        routes: routes.filter(isIts),
        // Others are found out when they are needed.
        neighbours: neighbours.filter(
          (neighbour) =>
            isIts(neighbour) &&
            ((neighbour.state & NUD_PERMANENT) !== 0 ||
              ((neighbour.state & NUD_REACHABLE) !== 0 && gateways.has(neighbour.address))),
        ),
      },
    ];
  });
}

function requireEthernet({ name, kind, mac }: Link): void {
  if (mac.length === MAC_TEXT_LENGTH) return;
  throw new ShimError(
    StatusCode.INVALID_ARGUMENT,
    `interface ${name} of the sandbox is of kind ${kind || "unknown"}, which has no MAC address; needed: one like Ethernet, such as veth`,
  );
}
