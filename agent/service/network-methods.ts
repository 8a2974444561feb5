import { agent } from "../../proto/index.js";
import { AgentError } from "../error.js";
import { GuestNetwork } from "../guest/network.js";
import { emptyMethod, type MethodTable, method } from "./method.js";

/** The methods of grpc.AgentService that concern the guest's network. @param prepare called before the first of them */
export function networkMethods(prepare: () => void): MethodTable {
  let network: GuestNetwork | undefined;
  const ready = () => {
    if (network === undefined) {
      prepare();
      network = new GuestNetwork();
    }
    return network;
  };
  return {
    UpdateInterface: method(agent.UpdateInterfaceRequest, agent.Interface, ({ interface: wanted }) => {
      if (wanted === null) throw new AgentError("INVALID_ARGUMENT", "UpdateInterface without an interface");
      return ready().updateInterface(wanted);
    }),
    UpdateRoutes: method(agent.UpdateRoutesRequest, agent.Routes, ({ routes }) => ({
      Routes: ready().updateRoutes(routes?.Routes ?? []),
    })),
    AddARPNeighbors: emptyMethod(agent.AddARPNeighborsRequest, ({ neighbors }) =>
      ready().addNeighbours(neighbors?.ARPNeighbors ?? []),
    ),
    ListInterfaces: method(agent.ListInterfacesRequest, agent.Interfaces, () => ({
      Interfaces: ready().interfaces(),
    })),
    ListRoutes: method(agent.ListRoutesRequest, agent.Routes, () => ({ Routes: ready().routes() })),
  };
}
