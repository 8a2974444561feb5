import { mkdirSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";

/** A socket that is listened on, perhaps before anybody is ready to serve it. */
export interface Listener {
  readonly path: string;
  /** Hands over the connections that came so far, then each new one. Called once. */
  accept(handler: (connection: Socket) => void): void;
  /** Takes no more connections and removes the socket; those that exist go on. */
  close(): void;
}

/**
 * Listens on a UNIX socket that only root can connect to. A socket file left by a shim that was killed is replaced; a
 * socket that somebody still answers on is not.
 *
 * @throws Error if another process serves the socket, or the system refuses
 */
export async function listenOn(path: string): Promise<Listener> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return new QueueingListener(path, await bindOnce(path));
  } catch (error) {
    if (!isErrno(error, "EADDRINUSE")) throw error;
    if (await isAnswered(path)) throw new Error(`another shim already serves ${path}`, { cause: error });
    unlinkSync(path);
    return new QueueingListener(path, await bindOnce(path));
  }
}

/** Whether some process accepts connections on the UNIX socket. */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    // Whatever the errno, nobody can be reached there.
    probe.once("error", () => resolve(false));
  });
}

class QueueingListener implements Listener {
  readonly #server: Server;
  readonly #waiting: Socket[] = [];
  #handler: ((connection: Socket) => void) | undefined;

  constructor(
    readonly path: string,
    server: Server,
  ) {
    this.#server = server;
    server.on("connection", (connection) => {
      // One that breaks while it waits is found broken by whoever gets it.
      connection.on("error", () => {});
      if (this.#handler === undefined) this.#waiting.push(connection);
      else this.#handler(connection);
    });
  }

  accept(handler: (connection: Socket) => void): void {
    this.#handler = handler;
    for (const connection of this.#waiting.splice(0)) handler(connection);
  }

  close(): void {
    this.#server.close();
  }
}

function bindOnce(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    // The file gets its mode when the socket is bound, which happens within listen(): no moment is left for others.
    const umask = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.off("error", reject);
        resolve(server);
      });
    } finally {
      process.umask(umask);
    }
  });
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
