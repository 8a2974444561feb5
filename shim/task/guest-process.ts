import { orLoss } from "./loss.js";
import type { GuestProcess } from "./process.js";
import type { Sandbox } from "./sandbox-port.js";

/** The agent's name for a container's first process. */
const INIT = "";

/** A container's first process, which exists since the container was created and runs when it is started. */
export function initProcess(sandbox: Sandbox, containerId: string): GuestProcess {
  return {
    ...streamsOf(sandbox, containerId, INIT),
    start: () => orLoss(sandbox, sandbox.startContainer(containerId)),
    wait: () => orLoss(sandbox, sandbox.waitProcess(containerId, INIT)),
  };
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
  return {
    ...streamsOf(sandbox, containerId, execId),
    start: () => orLoss(sandbox, sandbox.execProcess(containerId, execId, spec)),
    // The agent forgets such a process, and what it printed, once somebody was told its exit status.
    wait: async (outputRead) => {
      await outputRead;
      return await orLoss(sandbox, sandbox.waitProcess(containerId, execId));
    },
  };
}

function streamsOf(
  sandbox: Sandbox,
  containerId: string,
  execId: string,
): Omit<GuestProcess, "start" | "wait"> {
  return {
    signal: (signal, all) => sandbox.signalProcess(containerId, execId, signal, all),
    resizePty: (columns, rows) => sandbox.resizePty(containerId, execId, columns, rows),
    readStdout: (maxBytes) => sandbox.readStdout(containerId, execId, maxBytes),
    readStderr: (maxBytes) => sandbox.readStderr(containerId, execId, maxBytes),
    writeStdin: (data) => sandbox.writeStdin(containerId, execId, data),
    closeStdin: () => sandbox.closeStdin(containerId, execId),
  };
}
