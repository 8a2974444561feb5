import { createConnection } from "node:net";
import { type Codec, callUnary, createClient } from "../../lib/ttrpc/index.js";
import { management } from "../../proto/index.js";
import { socketPath } from "../../shim/address.js";
import { MANAGEMENT_SERVICE } from "../../shim/management-service.js";
import type { SandboxIdentity } from "../../shim/task/sandbox-port.js";

/** A shim that works answers in a millisecond, and for its guest in some more. */
const TIMEOUT_MS = 3000;

/**
 * Asks the shim of a sandbox, at the socket at which containerd does.
 *
 * @throws TtrpcError
 */
export async function askShim<T>(
  { address, namespace, id }: SandboxIdentity,
  method: "Describe" | "Console" | "Metrics",
  response: Codec<unknown, T>,
): Promise<T> {
  const client = createClient(createConnection(socketPath(address, namespace, id)));
  try {
    const options = { timeoutMs: TIMEOUT_MS };
    return await callUnary(client, MANAGEMENT_SERVICE, method, management.Empty, response, {}, options);
  } finally {
    client.close();
  }
}
