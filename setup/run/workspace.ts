import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { PrivateDirectory } from "../private-directory.js";
import { processesMentioning, unmountBelow } from "./leftovers.js";

/** How long processes get to end by themselves after containerd is gone. */
const GRACE_MS = 10_000;

/** Folder of the private directory. */
const FOLDER = "run";

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

/** @param directory where {@link Workspace.disk} goes */
export async function createWorkspace(directory: PrivateDirectory): Promise<Workspace> {
  const workspace = workspaceOf(directory, `demo-${randomBytes(4).toString("hex")}`);
  const { state, facts, reports } = workspace;
  for (const folder of [state, facts, reports]) await mkdir(folder, { recursive: true });
  return workspace;
}

/**
 * Removes the workspace and everything of the run that is still there.
 *
 * @returns one line for each thing that should have been gone already.
 */
export async function removeWorkspace(workspace: Workspace): Promise<string[]> {
  await untilProcessesEnd(workspace.id);
  return clear(workspace);
}

/** Removes what runs left that were killed. The caller holds the lock of the directory, so none of them goes on. */
export async function removeAbandonedWorkspaces(directory: PrivateDirectory): Promise<void> {
  const names = await readdir(join(directory.path, FOLDER)).catch(() => []); // The usual case: there is no such folder.
  for (const id of names) await clear(workspaceOf(directory, id));
}

function workspaceOf(directory: PrivateDirectory, id: string): Workspace {
  const disk = join(directory.path, FOLDER, id);
  const state = join("/run", `kata-fs-${id}`);
  return { id, disk, state, facts: join(disk, "facts"), reports: join(disk, "reports") };
}

async function clear({ id, disk, state }: Workspace): Promise<string[]> {
  const complaints: string[] = [];
  for (const { pid, command } of await processesMentioning(id)) {
    complaints.push(`process ${pid} was still running: ${command}`);
    kill(pid);
  }
  for (const sandbox of await sandboxesOf(id)) {
    for (const point of await unmountBelow(sandbox)) complaints.push(`${point} was still mounted`);
    complaints.push(`${sandbox} was still there`);
    await rm(sandbox, { recursive: true, force: true });
  }
  for (const folder of [state, disk]) {
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  }
  await rmdir(dirname(disk)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOTEMPTY") throw error; // Another abandoned run's turn comes next.
  });
  return complaints;
}

/** A sandbox's directory begins with its container's id. */
async function sandboxesOf(id: string): Promise<string[]> {
  const names = await readdir(SANDBOXES).catch(() => []); // No sandbox was ever there.
  return names.filter((name) => name.startsWith(`${id}-`)).map((name) => join(SANDBOXES, name));
}

async function untilProcessesEnd(id: string): Promise<void> {
  const deadline = performance.now() + GRACE_MS;
  while ((await processesMentioning(id)).length > 0 && performance.now() < deadline) await delay(50);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
