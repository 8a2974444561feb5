import { existsSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { joinStreams, parseConnectRequest, readLine } from "./connect-request.js";
import type { VsockDevice } from "./device.js";
import type { AcceptConnection } from "./host.js";
import { VsockStream } from "./stream.js";

/** A client that does not say what it wants is not waited for longer. */
const REQUEST_LIMIT_MS = 10_000;

/** The host's end of a guest's vsock ports, as UNIX sockets. */
export interface UnixBridge {
  /** Resolves when nobody can connect any more; connections go on. */
  close(): Promise<void>;
}

/**
 * Lets programs of the host connect to ports of the guest: a client connects to `path`, sends `CONNECT <port>\n`, gets
 * `OK <local port>\n`, and talks to the port from then on. A port that cannot be reached ends the connection. This is the convention of
 * Firecracker's and Cloud Hypervisor's vsock devices.
 */
export async function serveUnixBridge(
  path: string,
  device: Pick<VsockDevice, "connect">,
): Promise<UnixBridge> {
  rmSync(path, { force: true });
  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on("error", () => client.destroy());
    client.setTimeout(REQUEST_LIMIT_MS, () => client.destroy());
    void serveClient(client, device);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  // The bridge alone does not keep the process.
  server.unref();
  return { close: () => new Promise((resolve) => server.close(() => resolve())) };
}

/**
 * Hands connections of the guest to programs of the host: one to port P goes to whoever listens at the UNIX socket `<path>_<P>`, and is
 * refused if there is no such socket.
 */
export function acceptToUnix(path: string): AcceptConnection {
  return (port, stream) => {
    const target = `${path}_${port}`;
    if (!existsSync(target)) return false;
    const socket = connect({ path: target, allowHalfOpen: true });
    joinStreams(stream, socket);
    return true;
  };
}

async function serveClient(client: Socket, device: Pick<VsockDevice, "connect">): Promise<void> {
  const port = parseConnectRequest(await readLine(client));
  if (port === undefined) {
    client.destroy();
    return;
  }
  client.setTimeout(0);
  const abort = new AbortController();
  const onClose = () => abort.abort();
  client.once("close", onClose);
  try {
    const stream = await device.connect(port, abort.signal);
    client.write(`OK ${localPortOf(stream)}\n`);
    joinStreams(stream, client);
  } catch {
    // The end of the connection is the answer that the convention has for every failure.
    client.destroy();
  } finally {
    client.off("close", onClose);
  }
}

function localPortOf(stream: Duplex): number {
  return stream instanceof VsockStream ? stream.localPort : 0;
}
