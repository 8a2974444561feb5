import { Poller } from "../../lib/sys/poller.js";

let poller: Poller | undefined;

/** The agent's one poller, which keeps the agent alive: each more would take another thread of libuv's pool. */
export function agentPoller(): Poller {
  poller ??= new Poller();
  return poller;
}
