import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { joinStreams, parseConnectRequest, readLine } from "../lib/vsock/connect-request.js";
import { log } from "./log.js";

/** In the order in which containerd tries them. */
const LOOPBACK_ADDRESSES = ["127.0.0.1", "::1"] as const;
const PORT_MAX = 0xffff;
/** A host that does not say what it wants is not waited for longer. */
const REQUEST_LIMIT_MS = 10_000;

/**
 * Joins a connection of the host's to a TCP port of the guest's loopback interface: the host sends `CONNECT <port>\n`, gets `OK <port>\n`, and
 * talks to the port from then on. A port at which nobody listens ends the connection.
 */
export function forwardPort(connection: Duplex): void {
  connection.on("error", () => connection.destroy());
  serve(connection).catch((error: unknown) => {
    log("debug", "a port was not forwarded", { error });
    connection.destroy();
  });
}

async function serve(connection: Duplex): Promise<void> {
  const limit = setTimeout(() => connection.destroy(), REQUEST_LIMIT_MS);
  const port = parseConnectRequest(await readLine(connection).finally(() => clearTimeout(limit)));
  if (port === undefined || port > PORT_MAX) {
    connection.destroy();
    return;
  }
  const target = await connectLoopback(port);
  connection.write(`OK ${port}\n`);
  joinStreams(connection, target);
  if (connection.destroyed) target.destroy();
}

/** @throws as Node does for the last address tried */
async function connectLoopback(port: number): Promise<Socket> {
  let failure: unknown;
  for (const host of LOOPBACK_ADDRESSES) {
    const socket = connect({ host, port, allowHalfOpen: true });
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}
