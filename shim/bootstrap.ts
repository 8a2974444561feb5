import { closeSync, existsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { addressOf, socketPath, writeAddress } from "./address.js";
import { requireIdentifier, type ShimArgs } from "./args.js";
import { readAnnotations } from "./bundle.js";
import { type ContainerType, containerTypeOf } from "./container-type.js";
import { isAnswered, type Listener, listenOn } from "./listen.js";
import { STATE_DIRECTORY } from "./sandbox/layout.js";
import { startAnswer, taskVersionOf } from "./task-version.js";

/** What `start` answers containerd, and the listener of the shim that this process becomes, if one is needed. */
export interface Bootstrapped {
  readonly answer: string;
  /** undefined when another shim serves the container. */
  readonly listener: Listener | undefined;
}

/**
 * Does what `start` must have done before containerd may get its answer. A pod's container gets the address of its sandbox's
 * shim; for anything else this process listens on a socket of its own.
 *
 * @throws Error with one line that says why there is no address
 */
export async function bootstrap(args: ShimArgs, bundle: string): Promise<Bootstrapped> {
  const type = typeOf(bundle);
  if (type.kind === "pod-container") {
    requireIdentifier("the sandbox id in the annotations", type.sandboxId);
    const path = socketPath(args.address, args.namespace, type.sandboxId);
    if (!(await isAnswered(path))) {
      throw new Error(`no shim serves sandbox ${type.sandboxId}, which container ${args.id} belongs to`);
    }
    const address = addressOf(path);
    writeAddress(bundle, address);
    // containerd asks for a pod's containers only where it speaks version 2 with the sandbox.
    return { answer: startAnswer(address, 2), listener: undefined };
  }

  const path = socketPath(args.address, args.namespace, args.id);
  const listener = await listenOn(path);
  const address = addressOf(path);
  try {
    writeAddress(bundle, address);
    const version = await taskVersionOf(args.publishBinary, STATE_DIRECTORY);
    return { answer: startAnswer(address, version), listener };
  } catch (error) {
    listener.close();
    throw error;
  }
}

/** Without a configuration it is the sandbox of containerd's Sandbox API, which is described later. */
function typeOf(bundle: string): ContainerType {
  if (!existsSync(join(bundle, "config.json"))) return { kind: "sandbox" };
  return containerTypeOf(readAnnotations(bundle));
}

/**
 * Gives the launcher its answer: {@link Bootstrapped.answer}, or one line that says why there is none. Closing the descriptor is what lets the
 * launcher, and containerd behind it, go on.
 */
export function answerLauncher(fd: number, answer: string): void {
  try {
    writeSync(fd, answer);
  } finally {
    closeSync(fd);
  }
}
