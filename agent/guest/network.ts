import { readFileSync } from "node:fs";
import {
  AF_INET,
  AF_INET6,
  encodeAddress,
  encodeLinkChange,
  encodeNeighbour,
  encodeRoute,
  type InterfaceAddress,
  type Link,
  NetlinkFormatError,
  NLM_F_CREATE,
  NLM_F_REPLACE,
  type Route,
  RouteSocket,
  Rtm,
} from "../../lib/netlink/index.js";
import { hasErrno } from "../../lib/sys/errno.js";
import { agent } from "../../proto/index.js";
import { AgentError } from "../error.js";

/** Gives way to an interface that is to have the name of another one. */
const TEMPORARY = "_temp";
const IPV6_SWITCH = "/proc/sys/net/ipv6/conf/all/disable_ipv6";

/** The guest's interfaces, routes and neighbours, as the host has them. Each call throws AgentError, or the SysError of rtnetlink. */
export class GuestNetwork {
  readonly #socket = new RouteSocket();

  /** Gives the interface with the address `hwAddr` its name, addresses and MTU, and sets it up. */
  updateInterface(wanted: agent.Interface): agent.Interface {
    const links = this.#socket.links();
    const link = links.find(({ mac }) => mac === wanted.hwAddr.toLowerCase());
    // The words that a Kata runtime waits for: it tries again.
    if (link === undefined) throw new AgentError("INTERNAL", `Link not found (Address: ${wanted.hwAddr})`);
    const addresses = wanted.IPAddresses.map((address) => toAddress(link.index, address));
    this.#change(link, { isUp: false });
    if (wanted.name !== "" && wanted.name !== link.name) {
      const holder = links.find(({ name }) => name === wanted.name);
      if (holder !== undefined) {
        this.#change(holder, { isUp: false });
        this.#change(holder, { name: `${wanted.name}${TEMPORARY}` });
      }
      this.#change(link, { name: wanted.name });
    }
    if (wanted.mtu !== 0) this.#change(link, { mtuBytes: wanted.mtu });
    for (const address of addresses) this.#add(address);
    this.#change(link, { isUp: true });
    return wanted;
  }

  /** Adds routes, or changes those that are there. @returns all that there are */
  updateRoutes(wanted: readonly agent.Route[]): agent.Route.$Properties[] {
    const indexes = new Map(this.#socket.links().map(({ name, index }) => [name, index]));
    // A gateway must be within reach before there is a route by it.
    const sorted = [...wanted].sort((a, b) => Number(a.gateway !== "") - Number(b.gateway !== ""));
    for (const route of sorted) {
      const linkIndex = indexes.get(route.device);
      if (linkIndex === undefined) throw noDevice(route.device);
      if (route.family === agent.IPFamily.v6 && isIpv6Off()) continue;
      const encoded = valid(() => encodeRoute(toRoute(linkIndex, route)));
      const flags = NLM_F_CREATE | NLM_F_REPLACE;
      this.#socket.change(Rtm.NEWROUTE, encoded, { flags, subject: `route ${route.dest || "default"}` });
    }
    return this.routes();
  }

  addNeighbours(neighbours: readonly agent.ARPNeighbor[]): void {
    const indexes = new Map(this.#socket.links().map(({ name, index }) => [name, index]));
    for (const { toIPAddress, device, lladdr, state, flags } of neighbours) {
      const linkIndex = indexes.get(device);
      if (linkIndex === undefined) throw noDevice(device);
      const address = toIPAddress?.address ?? "";
      const encoded = valid(() => encodeNeighbour({ linkIndex, address, mac: lladdr, state, flags }));
      this.#socket.change(Rtm.NEWNEIGH, encoded, {
        flags: NLM_F_CREATE | NLM_F_REPLACE,
        subject: `neighbour ${address}`,
      });
    }
  }

  interfaces(): agent.Interface.$Properties[] {
    const addresses = this.#socket.addresses();
    return this.#socket.links().map((link) => ({
      device: link.name,
      name: link.name,
      IPAddresses: addresses
        .filter(({ linkIndex }) => linkIndex === link.index)
        .map(({ address, prefixLength }) => ({
          family: address.includes(":") ? agent.IPFamily.v6 : agent.IPFamily.v4,
          address,
          mask: `${prefixLength}`,
        })),
      mtu: link.mtuBytes,
      hwAddr: link.mac,
      type: link.kind,
      raw_flags: link.flags,
    }));
  }

  routes(): agent.Route.$Properties[] {
    const names = new Map(this.#socket.links().map(({ name, index }) => [index, name]));
    return this.#socket.routes().map((route) => ({
      dest: route.destination,
      gateway: route.gateway,
      device: names.get(route.linkIndex) ?? "",
      source: route.source,
      scope: route.scope,
      family: route.family === AF_INET6 ? agent.IPFamily.v6 : agent.IPFamily.v4,
      flags: route.flags,
      mtu: route.mtuBytes,
    }));
  }

  #add(address: InterfaceAddress): void {
    if (address.address.includes(":") && isIpv6Off()) return;
    const flags = NLM_F_CREATE | NLM_F_REPLACE;
    const subject = `address ${address.address}/${address.prefixLength}`;
    this.#socket.change(
      Rtm.NEWADDR,
      valid(() => encodeAddress(address)),
      { flags, subject },
    );
  }

  #change({ index, name }: Link, change: Parameters<typeof encodeLinkChange>[1]): void {
    this.#socket.change(Rtm.NEWLINK, encodeLinkChange(index, change), { subject: `interface ${name}` });
  }
}

function toAddress(linkIndex: number, { address, mask }: agent.IPAddress): InterfaceAddress {
  const prefixLength = Number(mask);
  if (!/^\d{1,3}$/.test(mask) || prefixLength > (address.includes(":") ? 128 : 32))
    throw new AgentError(
      "INVALID_ARGUMENT",
      `${JSON.stringify(mask)} is no length of a prefix of ${address}`,
    );
  return { linkIndex, address, prefixLength, scope: 0 };
}

function toRoute(linkIndex: number, route: agent.Route): Route {
  return {
    linkIndex,
    family: route.family === agent.IPFamily.v6 ? AF_INET6 : AF_INET,
    destination: route.dest,
    gateway: route.gateway,
    source: route.source,
    scope: route.scope,
    flags: route.flags,
    mtuBytes: route.mtu,
    priority: 0,
  };
}

/** What came over the wire in a form that rtnetlink cannot be told is the caller's mistake. */
function valid<T>(encode: () => T): T {
  try {
    return encode();
  } catch (error) {
    if (!(error instanceof NetlinkFormatError || error instanceof RangeError)) throw error;
    throw new AgentError("INVALID_ARGUMENT", error.message, { cause: error });
  }
}

function noDevice(name: string): AgentError {
  return new AgentError("NOT_FOUND", `there is no interface ${JSON.stringify(name)}`);
}

/** Whether somebody has switched IPv6 off, or the kernel has none. */
function isIpv6Off(): boolean {
  try {
    return readFileSync(IPV6_SWITCH, "utf8").trim() === "1";
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return true;
    throw error;
  }
}
