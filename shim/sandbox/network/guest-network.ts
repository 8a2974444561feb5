import { setTimeout as sleep } from "node:timers/promises";
import { AF_INET6, IFF_NOARP } from "../../../lib/netlink/index.js";
import { StatusCode, TtrpcError } from "../../../lib/ttrpc/index.js";
import { agent } from "../../../proto/index.js";
import type { AgentClient } from "../agent-client.js";
import type { PodInterface } from "./scan.js";

/** A guest may not have found its card yet, as Kata's runtimes have it. */
const LINK_ATTEMPTS = 20;
const LINK_DELAY_MS = 20;

/** Has the guest's agent give its cards the names, addresses, routes and neighbours of the sandbox's interfaces. @throws TtrpcError */
export async function configureGuestNetwork(
  client: Pick<AgentClient, "updateInterface" | "updateRoutes" | "addArpNeighbors">,
  interfaces: readonly PodInterface[],
): Promise<void> {
  if (interfaces.length === 0) return;
  for (const each of interfaces) await updateInterface(client, interfaceMessage(each));
  await client.updateRoutes(interfaces.flatMap(routeMessages));
  const neighbours = interfaces.flatMap(neighbourMessages);
  if (neighbours.length === 0) return;
  try {
    await client.addArpNeighbors(neighbours);
  } catch (error) {
    // Agents that do not know the call find their neighbours by themselves.
    if (!(error instanceof TtrpcError) || error.code !== StatusCode.UNIMPLEMENTED) throw error;
  }
}

async function updateInterface(
  client: Pick<AgentClient, "updateInterface">,
  message: agent.Interface.$Properties,
): Promise<void> {
  for (let left = LINK_ATTEMPTS; ; left--) {
    try {
      await client.updateInterface(message);
      return;
    } catch (error) {
      if (left === 1 || !(error instanceof TtrpcError) || !error.message.includes("Link not found"))
        throw error;
    }
    await sleep(LINK_DELAY_MS);
  }
}

function interfaceMessage({ link, addresses }: PodInterface): agent.Interface.$Properties {
  return {
    device: link.name,
    name: link.name,
    IPAddresses: addresses.map(({ address, prefixLength }) => ({
      family: familyOf(address),
      address,
      mask: `${prefixLength}`,
    })),
    mtu: link.mtuBytes,
    hwAddr: link.mac,
    type: "veth",
    raw_flags: link.flags & IFF_NOARP,
  };
}

function routeMessages({ link, routes }: PodInterface): agent.Route.$Properties[] {
  return routes.map((route) => ({
    dest: route.destination,
    gateway: route.gateway,
    device: link.name,
    source: route.source,
    scope: route.scope,
    family: route.family === AF_INET6 ? agent.IPFamily.v6 : agent.IPFamily.v4,
    flags: route.flags,
    mtu: route.mtuBytes,
  }));
}

function neighbourMessages({ link, neighbours }: PodInterface): agent.ARPNeighbor.$Properties[] {
  return neighbours.map(({ address, mac, state, flags }) => ({
    toIPAddress: { family: familyOf(address), address, mask: "" },
    device: link.name,
    lladdr: mac,
    state,
    flags,
  }));
}

function familyOf(address: string): agent.IPFamily {
  return address.includes(":") ? agent.IPFamily.v6 : agent.IPFamily.v4;
}
