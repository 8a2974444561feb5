import { createConnection } from "node:net";
import { type Codec, callUnary, createClient } from "../../lib/ttrpc/index.js";
import { management } from "../../proto/index.js";
import { socketPath } from "../../shim/address.js";
import { MANAGEMENT_SERVICE } from "../../shim/management-service.js";
import type { SandboxIdentity } from "../../shim/task/sandbox-port.js";

/** A shim that works answers in a millisecond, and for its guest in some more. */
const TIMEOUT_MS = 3000;

/** What most calls are asked with. */
const NOTHING: Request<unknown> = { codec: management.Empty, message: {} };

export interface Request<T> {
  readonly codec: Codec<T>;
  readonly message: T;
}

/**
 * Asks the shim of a sandbox, at the socket at which containerd does.
 *
 * @throws TtrpcError
 */
export async function askShim<I, O>(
  { address, namespace, id }: SandboxIdentity,
  method: "Describe" | "Console" | "Log" | "Metrics" | "UpgradeDaemon",
  response: Codec<unknown, O>,
  { codec, message }: Request<I> | typeof NOTHING = NOTHING,
  timeoutMs = TIMEOUT_MS,
): Promise<O> {
  const client = createClient(createConnection(socketPath(address, namespace, id)));
  try {
    return await callUnary(client, MANAGEMENT_SERVICE, method, codec, response, message, { timeoutMs });
  } finally {
    client.close();
  }
}
