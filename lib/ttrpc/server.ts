import type { Duplex } from "node:stream";
import type { ErrorObserver, ServiceTable } from "./handler.js";
import { ServerConnection } from "./server-connection.js";

export interface ServerOptions {
  readonly services: ServiceTable;
  readonly onError?: ErrorObserver;
  /** Sees the number of connections each time it changes. */
  readonly onConnections?: (count: number) => void;
}

export interface TtrpcServer {
  /** Serves a connection until it ends. The stream belongs to the server from now on. */
  handle(duplex: Duplex): void;
  readonly connections: number;
  /**
   * Takes no further calls, lets those under way answer, and ends all connections. A call that never ends holds it up until
   * its caller goes.
   */
  close(): Promise<void>;
}

export function createServer(options: ServerOptions): TtrpcServer {
  return new Server(options);
}

class Server implements TtrpcServer {
  readonly #connections = new Set<ServerConnection>();

  constructor(private readonly options: ServerOptions) {}

  get connections(): number {
    return this.#connections.size;
  }

  handle(duplex: Duplex): void {
    const connection = new ServerConnection(duplex, this.options.services, this.options.onError);
    this.#connections.add(connection);
    this.options.onConnections?.(this.#connections.size);
    void connection.gone.then(() => {
      this.#connections.delete(connection);
      this.options.onConnections?.(this.#connections.size);
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.close()));
  }
}
