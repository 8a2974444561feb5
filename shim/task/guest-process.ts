import { orLoss } from "./loss.js";
import type { GuestProcess } from "./process.js";
import type { Sandbox } from "./sandbox-port.js";

/** The agent's name for a container's first process. */
const INIT = "";

/** A container's first process, which exists since the container was created and runs when it is started. */
export function initProcess(sandbox: Sandbox, containerId: string): GuestProcess {
  return processOf(sandbox, containerId, INIT, () => orLoss(sandbox, sandbox.startContainer(containerId)));
}

/**
 * A process that is added to a container.
 *
 * @param spec the OCI process, as JSON was parsed
 */
export function execProcess(
  sandbox: Sandbox,
  containerId: string,
  execId: string,
  spec: unknown,
): GuestProcess {
  return processOf(sandbox, containerId, execId, () =>
    orLoss(sandbox, sandbox.execProcess(containerId, execId, spec)),
  );
}

function processOf(
  sandbox: Sandbox,
  containerId: string,
  execId: string,
  start: () => Promise<void>,
): GuestProcess {
  return {
    start,
    signal: (signal, all) => sandbox.signalProcess(containerId, execId, signal, all),
    wait: () => orLoss(sandbox, sandbox.waitProcess(containerId, execId)),
    resizePty: (columns, rows) => sandbox.resizePty(containerId, execId, columns, rows),
    readStdout: (maxBytes) => sandbox.readStdout(containerId, execId, maxBytes),
    readStderr: (maxBytes) => sandbox.readStderr(containerId, execId, maxBytes),
    writeStdin: (data) => sandbox.writeStdin(containerId, execId, data),
    closeStdin: () => sandbox.closeStdin(containerId, execId),
  };
}
