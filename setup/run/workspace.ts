import { randomBytes } from "node:crypto";
import { mkdir, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { PrivateDirectory } from "../private-directory.js";
import { processesMentioning, unmountBelow } from "./leftovers.js";

/** How long processes get to end by themselves after containerd is gone. */
const GRACE_MS = 10_000;

/** Where the shim keeps what it has of running sandboxes. */
const SANDBOXES = "/run/kata-fs";

/** The names of one run. Each contains the run's id, so whatever is left can be told from everything else on the machine. */
export interface Workspace {
  /** Also the container's id and so the sandbox's. */
  readonly id: string;
  /** On disk: images, snapshots, facts. */
  readonly disk: string;
  /** Short: sockets and state. */
  readonly state: string;
  readonly facts: string;
  readonly reports: string;
}

export async function createWorkspace(directory: PrivateDirectory): Promise<Workspace> {
  const id = `demo-${randomBytes(4).toString("hex")}`;
  const disk = join(directory.path, "run", id);
  const state = join("/run", `kata-fs-${id}`);
  const workspace = { id, disk, state, facts: join(disk, "facts"), reports: join(disk, "reports") };
  for (const folder of [state, workspace.facts, workspace.reports]) await mkdir(folder, { recursive: true });
  return workspace;
}

/**
 * Removes the workspace and everything of the run that is still there.
 *
 * @returns one line for each thing that should have been gone already.
 */
export async function removeWorkspace({ id, disk, state }: Workspace): Promise<string[]> {
  const complaints: string[] = [];
  for (const { pid, command } of await survivors(id)) {
    complaints.push(`process ${pid} was still running: ${command}`);
    kill(pid);
  }
  const sandbox = join(SANDBOXES, id);
  for (const point of await unmountBelow(sandbox)) complaints.push(`${point} was still mounted`);
  if (await exists(sandbox)) {
    complaints.push(`${sandbox} was still there`);
    await rm(sandbox, { recursive: true, force: true });
  }
  for (const folder of [state, disk]) {
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  }
  await rmdir(dirname(disk));
  return complaints;
}

async function survivors(id: string) {
  const deadline = performance.now() + GRACE_MS;
  let processes = await processesMentioning(id);
  while (processes.length > 0 && performance.now() < deadline) {
    await delay(50);
    processes = await processesMentioning(id);
  }
  return processes;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
