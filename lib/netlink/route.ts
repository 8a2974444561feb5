import {
  AF_INET,
  AF_INET6,
  familyOf,
  formatIp,
  formatMac,
  type IpFamily,
  parseIp,
  parseMac,
} from "./ip-address.js";
import {
  type Attribute,
  decodeAttributes,
  NetlinkFormatError,
  textAttribute,
  textOf,
  uint32Attribute,
  uint32Of,
} from "./message.js";

/** Message types of rtnetlink(7), include/uapi/linux/rtnetlink.h. */
export const Rtm = {
  NEWLINK: 16,
  GETLINK: 18,
  NEWADDR: 20,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  GETNEIGH: 30,
  NEWQDISC: 36,
  DELQDISC: 37,
  NEWTFILTER: 44,
} as const;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
export const IFF_UP = 1;
export const IFF_LOOPBACK = 8;
export const IFF_NOARP = 0x80;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
/** Without it an IPv6 address cannot be used for a second, while its neighbours are asked for it. */
const IFA_F_NODAD = 2;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_TABLE = 15;
const RTAX_MTU = 2;
const RT_TABLE_MAIN = 254;
const RTPROT_KERNEL = 2;
const RTPROT_BOOT = 3;
const RTN_UNICAST = 1;

const NDA_DST = 1;
const NDA_LLADDR = 2;
export const NUD_REACHABLE = 2;
export const NUD_PERMANENT = 0x80;

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Such as "veth"; empty for a device without a kind, such as a physical one. */
  readonly kind: string;
  readonly mac: string;
  readonly mtuBytes: number;
  /** IFF_*. */
  readonly flags: number;
}

/** An address of an interface. */
export interface InterfaceAddress {
  readonly linkIndex: number;
  readonly address: string;
  readonly prefixLength: number;
  /** RT_SCOPE_*: 0 is everywhere, 253 this link. */
  readonly scope: number;
}

/** A route of the main table. */
export interface Route {
  readonly family: IpFamily;
  readonly linkIndex: number;
  /** With its prefix length; empty for the default route. */
  readonly destination: string;
  /** Empty where the destination is on the link. */
  readonly gateway: string;
  /** Empty for the kernel's choice. */
  readonly source: string;
  readonly scope: number;
  /** RTNH_F_*, such as 4 for a gateway that no route leads to. */
  readonly flags: number;
  /** 0 for the interface's. */
  readonly mtuBytes: number;
  readonly priority: number;
}

/** An entry of the ARP or neighbour discovery table. */
export interface Neighbour {
  readonly linkIndex: number;
  readonly address: string;
  readonly mac: string;
  /** NUD_*. */
  readonly state: number;
  readonly flags: number;
}

/** A request for all of a kind: any of the GET types. */
export function dumpBody(type: number): Buffer {
  return Buffer.alloc(
    type === Rtm.GETLINK ? IFINFOMSG_BYTES : type === Rtm.GETADDR ? IFADDRMSG_BYTES : RTMSG_BYTES,
  );
}

const IFINFOMSG_BYTES = 16;
const IFADDRMSG_BYTES = 8;
const RTMSG_BYTES = 12;
const NDMSG_BYTES = 12;

/** Of RTM_NEWLINK. @throws NetlinkFormatError */
export function decodeLink(payload: Buffer): Link {
  requireBody(payload, IFINFOMSG_BYTES);
  const attributes = decodeAttributes(payload.subarray(IFINFOMSG_BYTES));
  const info = attributes.get(IFLA_LINKINFO);
  return {
    index: payload.readInt32LE(4),
    flags: payload.readUInt32LE(8),
    name: textOf(attributes.get(IFLA_IFNAME)),
    kind: info === undefined ? "" : textOf(decodeAttributes(info).get(IFLA_INFO_KIND)),
    mac: formatMac(attributes.get(IFLA_ADDRESS) ?? new Uint8Array()),
    mtuBytes: uint32Of(attributes.get(IFLA_MTU)),
  };
}

/** What RTM_NEWLINK changes of the interface with this index. */
export interface LinkChange {
  readonly name?: string;
  readonly mtuBytes?: number;
  readonly isUp?: boolean;
}

export function encodeLinkChange(index: number, { name, mtuBytes, isUp }: LinkChange): [Buffer, Attribute[]] {
  const body = Buffer.alloc(IFINFOMSG_BYTES);
  body.writeInt32LE(index, 4);
  body.writeUInt32LE(isUp === true ? IFF_UP : 0, 8);
  body.writeUInt32LE(isUp === undefined ? 0 : IFF_UP, 12);
  return [
    body,
    [
      ...(name === undefined ? [] : [textAttribute(IFLA_IFNAME, name)]),
      ...(mtuBytes === undefined ? [] : [uint32Attribute(IFLA_MTU, mtuBytes)]),
    ],
  ];
}

/** Of RTM_NEWADDR. @throws NetlinkFormatError */
export function decodeAddress(payload: Buffer): InterfaceAddress {
  requireBody(payload, IFADDRMSG_BYTES);
  const attributes = decodeAttributes(payload.subarray(IFADDRMSG_BYTES));
  // Of a point-to-point link IFA_ADDRESS is the other side's.
  const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (address === undefined) throw new NetlinkFormatError("an address message without an address");
  return {
    prefixLength: payload.readUInt8(1),
    scope: payload.readUInt8(3),
    linkIndex: payload.readUInt32LE(4),
    address: formatIp(address),
  };
}

/** For RTM_NEWADDR. @throws NetlinkFormatError */
export function encodeAddress({
  linkIndex,
  address,
  prefixLength,
  scope,
}: InterfaceAddress): [Buffer, Attribute[]] {
  const bytes = parseIp(address);
  const family = familyOf(bytes);
  const body = Buffer.alloc(IFADDRMSG_BYTES);
  body.writeUInt8(family, 0);
  body.writeUInt8(prefixLength, 1);
  body.writeUInt8(family === AF_INET6 ? IFA_F_NODAD : 0, 2);
  body.writeUInt8(scope, 3);
  body.writeUInt32LE(linkIndex, 4);
  return [
    body,
    [
      [IFA_LOCAL, bytes],
      [IFA_ADDRESS, bytes],
    ],
  ];
}

/** Of RTM_NEWROUTE. @returns undefined for what is not an administrator's unicast route of the main table @throws NetlinkFormatError */
export function decodeRoute(payload: Buffer): Route | undefined {
  requireBody(payload, RTMSG_BYTES);
  const [family = 0, prefixLength = 0, , , table, protocol, scope = 0, type] = payload;
  const attributes = decodeAttributes(payload.subarray(RTMSG_BYTES));
  const linkIndex = uint32Of(attributes.get(RTA_OIF));
  const isMain = (uint32Of(attributes.get(RTA_TABLE)) || table) === RT_TABLE_MAIN;
  if (!isMain || protocol === RTPROT_KERNEL || type !== RTN_UNICAST || linkIndex === 0) return undefined;
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const ip = (attribute: number) => {
    const value = attributes.get(attribute);
    return value === undefined ? "" : formatIp(value);
  };
  const destination = ip(RTA_DST);
  const metrics = attributes.get(RTA_METRICS);
  return {
    family,
    linkIndex,
    destination: destination === "" ? "" : `${destination}/${prefixLength}`,
    gateway: ip(RTA_GATEWAY),
    source: ip(RTA_PREFSRC),
    scope,
    flags: payload.readUInt32LE(8),
    mtuBytes: metrics === undefined ? 0 : uint32Of(decodeAttributes(metrics).get(RTAX_MTU)),
    priority: uint32Of(attributes.get(RTA_PRIORITY)),
  };
}

/** RTNH_F_* that may be set: what the others say is the kernel's to say. */
const RTNH_F_ONLINK = 4;

/** For RTM_NEWROUTE and RTM_DELROUTE. @throws NetlinkFormatError */
export function encodeRoute(route: Route): [Buffer, Attribute[]] {
  const [text = "", prefix] = route.destination.split("/");
  const destination = text === "" ? undefined : parseIp(text);
  const bits = destination === undefined ? 0 : destination.length * 8;
  const body = Buffer.alloc(RTMSG_BYTES);
  const prefixLength = prefix === undefined ? bits : Number(prefix);
  if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > bits)
    throw new NetlinkFormatError(`${route.destination} is no destination`);
  body.set([route.family, prefixLength, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, route.scope, RTN_UNICAST]);
  body.writeUInt32LE(route.flags & RTNH_F_ONLINK, 8);
  return [
    body,
    [
      ...(destination === undefined ? [] : [[RTA_DST, destination] as const]),
      uint32Attribute(RTA_OIF, route.linkIndex),
      ...(route.gateway === "" ? [] : [[RTA_GATEWAY, parseIp(route.gateway)] as const]),
      ...(route.source === "" ? [] : [[RTA_PREFSRC, parseIp(route.source)] as const]),
      ...(route.mtuBytes === 0 ? [] : [[RTA_METRICS, [uint32Attribute(RTAX_MTU, route.mtuBytes)]] as const]),
      ...(route.priority === 0 ? [] : [uint32Attribute(RTA_PRIORITY, route.priority)]),
    ],
  ];
}

/** Of RTM_NEWNEIGH. @returns undefined for an entry without both addresses @throws NetlinkFormatError */
export function decodeNeighbour(payload: Buffer): Neighbour | undefined {
  requireBody(payload, NDMSG_BYTES);
  const attributes = decodeAttributes(payload.subarray(NDMSG_BYTES));
  const [address, mac] = [attributes.get(NDA_DST), attributes.get(NDA_LLADDR)];
  const family = payload.readUInt8(0);
  if (address === undefined || mac === undefined || (family !== AF_INET && family !== AF_INET6))
    return undefined;
  return {
    linkIndex: payload.readInt32LE(4),
    address: formatIp(address),
    mac: formatMac(mac),
    state: payload.readUInt16LE(8),
    flags: payload.readUInt8(10),
  };
}

/** For RTM_NEWNEIGH. @throws NetlinkFormatError */
export function encodeNeighbour({ linkIndex, address, mac, state, flags }: Neighbour): [Buffer, Attribute[]] {
  const bytes = parseIp(address);
  const body = Buffer.alloc(NDMSG_BYTES);
  body.writeUInt8(familyOf(bytes), 0);
  body.writeInt32LE(linkIndex, 4);
  body.writeUInt16LE(state, 8);
  body.writeUInt8(flags, 10);
  return [
    body,
    [
      [NDA_DST, bytes],
      [NDA_LLADDR, parseMac(mac)],
    ],
  ];
}

function requireBody(payload: Buffer, length: number): void {
  if (payload.length < length)
    throw new NetlinkFormatError(`a body of ${payload.length} bytes; needed: ${length}`);
}
