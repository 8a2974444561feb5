import { rmSync } from "node:fs";
import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import { listenVsock } from "../lib/sys/vsock-socket.js";
import type { ServerAddress } from "./config.js";
import { agentPoller } from "./sys/poller.js";

/** Accepts connections at `address` for as long as the agent lives. Throws when it cannot. */
export function listen(address: ServerAddress, onConnection: (connection: Duplex) => void): void {
  switch (address.family) {
    case "unix":
      rmSync(address.path, { force: true });
      createServer({ allowHalfOpen: true }, onConnection).listen(address.path);
      break;
    case "vsock":
      listenVsock(address.cid, address.port, agentPoller(), onConnection);
      break;
  }
}
