import { mkdirSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { dirname } from "node:path";

/**
 * Listens on a UNIX socket that only root can connect to. A socket file left by a shim that was killed is replaced; a
 * socket that somebody still answers on is not.
 *
 * @throws Error if another process serves the socket, or the system refuses
 */
export async function listenOn(path: string): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return await bindOnce(path);
  } catch (error) {
    if (!isErrno(error, "EADDRINUSE")) throw error;
    if (await isAnswered(path)) throw new Error(`another shim already serves ${path}`, { cause: error });
    unlinkSync(path);
    return await bindOnce(path);
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
