import { setTimeout as delay } from "node:timers/promises";
import { killProcess } from "../kill-process.js";
import type { SandboxIdentity } from "../task/sandbox-port.js";
import { recordedProcesses } from "./child.js";
import { removeRecordedCgroups } from "./host-cgroups.js";
import { removeDirectory, type SandboxLayout, sandboxLayout } from "./layout.js";
import { removeRecordedNetwork } from "./network/pod-network.js";

/** Between looks at a process that has been killed. */
const POLL_MS = 5;

/**
 * Ends what a sandbox left whose shim is gone: QEMU and kata-fsd, if they live still, what they did to its network, its control groups and its directory. Its mounts went with
 * the shim's mount namespace, whose last process one of these may be. Harmless when there is nothing.
 */
export async function cleanUpSandbox(sandbox: SandboxIdentity): Promise<void> {
  await cleanUpDirectory(sandboxLayout(sandbox));
}

/** As {@link cleanUpSandbox}, for a directory of which nobody knows whose it was. */
export async function cleanUpDirectory(layout: SandboxLayout): Promise<void> {
  for (const pid of recordedProcesses(layout.processes)) killProcess(pid);
  while (recordedProcesses(layout.processes).length > 0) await delay(POLL_MS);
  removeRecordedNetwork(layout.network);
  await removeRecordedCgroups(layout.cgroups);
  removeDirectory(layout);
}
