import { agent } from "../../proto/index.js";
import { type EventKind, replayEvents } from "../replay/replayer.js";
import { type MethodTable, method } from "./method.js";

const KINDS: Readonly<Record<agent.HostEvent.Kind, EventKind>> = {
  [agent.HostEvent.Kind.ATTRIB]: "attrib",
  [agent.HostEvent.Kind.MODIFY]: "modify",
  [agent.HostEvent.Kind.CLOSE_WRITE]: "close-write",
  [agent.HostEvent.Kind.CREATE]: "create",
  [agent.HostEvent.Kind.REMOVE]: "remove",
  [agent.HostEvent.Kind.RENAME]: "rename",
};

/** Service katafs.HostEvents, which Kata's agent does not have. */
export function replayMethods(): MethodTable {
  return {
    Replay: method(agent.ReplayRequest, agent.ReplayResponse, ({ share, events }) =>
      replayEvents(
        share,
        events.map(({ kind, directory, node, name, old_name, type, kept }) => ({
          kind: KINDS[kind],
          directory: Buffer.from(directory),
          node: BigInt(`0x${node}`),
          name: Buffer.from(name),
          oldName: Buffer.from(old_name),
          type,
          isKept: kept,
        })),
      ),
    ),
  };
}
