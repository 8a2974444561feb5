import { closeSync, writeSync } from "node:fs";
import type { Server } from "node:net";
import { addressOf, socketPath, writeAddress } from "./address.js";
import { requireIdentifier, type ShimArgs } from "./args.js";
import { readAnnotations } from "./bundle.js";
import { containerTypeOf } from "./container-type.js";
import { isAnswered, listenOn } from "./listen.js";

/** A shim that listens; containerd may connect before anybody accepts. */
export interface Listening {
  readonly server: Server;
  readonly socketPath: string;
}

/**
 * Does what `start` must have done before containerd may get its answer. A pod's container gets the address of its sandbox's
 * shim; for anything else this process listens on a socket of its own.
 *
 * @returns the server, or undefined when another shim serves the container and this process is not needed
 * @throws Error with one line that says why there is no address
 */
export async function bootstrap(
  args: ShimArgs,
  bundle: string,
): Promise<{ readonly address: string; readonly listening: Listening | undefined }> {
  const type = containerTypeOf(readAnnotations(bundle));
  if (type.kind === "pod-container") {
    requireIdentifier("the sandbox id in the annotations", type.sandboxId);
    const path = socketPath(args.address, args.namespace, type.sandboxId);
    if (!(await isAnswered(path))) {
      throw new Error(`no shim serves sandbox ${type.sandboxId}, which container ${args.id} belongs to`);
    }
    const address = addressOf(path);
    writeAddress(bundle, address);
    return { address, listening: undefined };
  }

  const path = socketPath(args.address, args.namespace, args.id);
  const server = await listenOn(path);
  const address = addressOf(path);
  try {
    writeAddress(bundle, address);
  } catch (error) {
    server.close();
    throw error;
  }
  return { address, listening: { server, socketPath: path } };
}

/**
 * Gives the launcher its answer: the address, or one line that says why there is none. Closing the descriptor is what lets the
 * launcher, and containerd behind it, go on.
 */
export function answerLauncher(fd: number, answer: string): void {
  try {
    writeSync(fd, answer);
  } finally {
    closeSync(fd);
  }
}
