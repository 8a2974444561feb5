import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf, ShimError, StatusCode } from "../error.js";
import type { Logger } from "../log/logger.js";
import type { SandboxIdentity } from "../task/sandbox-port.js";
import { recordedShim, recordProcesses } from "./child.js";
import { cleanUpSandbox } from "./clean-up.js";
import { sandboxLayout } from "./layout.js";
import { writeRecord } from "./record.js";

/**
 * Makes a sandbox's directory and records this process as its shim. What an earlier sandbox of the same name left whose shim is gone
 * (a crash of the host's containerd or of `delete` itself) is cleaned up first.
 *
 * @throws ShimError ALREADY_EXISTS while the shim of a sandbox of this name runs
 */
export async function claimDirectory(
  sandbox: SandboxIdentity & { readonly bundle: string },
  logger: Logger,
): Promise<void> {
  const { directory, processes, record } = sandboxLayout(sandbox);
  mkdirSync(dirname(directory), { recursive: true, mode: 0o700 });
  if (!makeDirectory(directory)) {
    const shim = recordedShim(processes);
    if (shim !== undefined) throw alreadyExists(`${directory} belongs to the shim with pid ${shim}`);
    logger.warn("what a sandbox of this name left is cleaned up", { directory });
    await cleanUpSandbox(sandbox);
    if (!makeDirectory(directory)) throw alreadyExists(`${directory} has just been made`);
  }
  recordProcesses(processes, [process.pid]);
  const { id, namespace, address, bundle } = sandbox;
  writeRecord(record, { version: 1, id, namespace, address, bundle, createdAtMs: Date.now() });
}

/** @returns whether there was none */
function makeDirectory(directory: string): boolean {
  try {
    mkdirSync(directory, { mode: 0o700 });
    return true;
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "EEXIST") return false;
    throw new ShimError(StatusCode.FAILED_PRECONDITION, messageOf(cause), { cause });
  }
}

function alreadyExists(found: string): ShimError {
  return new ShimError(StatusCode.ALREADY_EXISTS, `another sandbox has this id: ${found}`);
}
