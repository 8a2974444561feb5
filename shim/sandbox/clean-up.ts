import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { killRecorded, recordedProcesses } from "./child.js";
import { sandboxLayout } from "./layout.js";

/** Between looks at a process that has been killed. */
const POLL_MS = 5;

/**
 * Ends what a sandbox left whose shim is gone: QEMU and kata-fsd, if they live still, and its directory. Its mounts went with
 * the shim's mount namespace, whose last process one of these may be. Harmless when there is nothing.
 */
export async function cleanUpSandbox(id: string): Promise<void> {
  const { directory, processes } = sandboxLayout(id);
  await killRecorded(processes);
  while ((await recordedProcesses(processes)).length > 0) await delay(POLL_MS);
  await rm(directory, { recursive: true, force: true });
}
