import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { close } from "../../../lib/sys/file.js";
import type { NetworkNamespace } from "../../../lib/sys/network-namespace.js";
import { steerConnections } from "../../../lib/sys/socket-lookup.js";
import { listenTcp } from "../../../lib/sys/tcp-socket.js";
import { joinStreams, readLine } from "../../../lib/vsock/index.js";
import { messageOf } from "../../error.js";
import type { Logger } from "../../log/logger.js";

/** 127.0.0.0/8, also as a socket of both families has it, and ::1. */
const LOOPBACK = /^(?:(?:::ffff:)?127\.|::1$)/;

/**
 * Gives the loopback interface of a pod's network namespace the guest's TCP ports: CRI's PortForward has containerd connect to localhost in
 * that namespace, where nobody but this listens.
 */
export class PortForward {
  readonly #connections = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly linkFd: number,
  ) {
    server.on("connection", (connection) => {
      this.#connections.add(connection);
      connection.once("close", () => this.#connections.delete(connection));
    });
  }

  /**
   * @param connectGuest connects to where the guest's agent forwards ports; fails where the agent does not
   * @throws SysError where the kernel does not steer connections, or not for this process
   */
  static open(
    namespace: NetworkNamespace,
    connectGuest: (signal: AbortSignal) => Promise<Duplex>,
    logger: Logger,
  ): PortForward {
    const listenerFd = namespace.run(listenTcp);
    let linkFd: number;
    try {
      linkFd = steerConnections(namespace.fd, listenerFd);
    } catch (error) {
      close(listenerFd);
      throw error;
    }
    const server = createServer({ allowHalfOpen: true }, (connection) => {
      forward(connection, connectGuest).catch((error: unknown) => {
        logger.info("a port was not forwarded", { port: connection.localPort, error: messageOf(error) });
        connection.resetAndDestroy();
      });
    });
    server.listen({ fd: listenerFd }).unref();
    return new PortForward(server, linkFd);
  }

  /** Ends it, and all connections. */
  async close(): Promise<void> {
    close(this.linkFd);
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const connection of this.#connections) connection.destroy();
    await closed;
  }
}

async function forward(
  connection: Socket,
  connectGuest: (signal: AbortSignal) => Promise<Duplex>,
): Promise<void> {
  const gone = new AbortController();
  connection.on("error", () => connection.destroy());
  connection.once("close", () => gone.abort());
  const { localAddress = "", localPort } = connection;
  if (!LOOPBACK.test(localAddress)) throw new Error(`${localAddress} is no loopback address`);
  const guest = await connectGuest(gone.signal);
  guest.on("error", () => guest.destroy());
  connection.once("close", () => guest.destroy());
  guest.write(`CONNECT ${localPort}\n`);
  if (!/^OK \d+\n$/.test(await readLine(guest))) throw new Error("nobody listens there in the guest");
  joinStreams(connection, guest);
}
