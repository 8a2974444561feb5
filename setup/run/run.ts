import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Containerd } from "../components/containerd.js";
import { withOverrides } from "../config-file.js";
import type { Overrides } from "../overrides.js";
import type { PrivateDirectory } from "../private-directory.js";
import type { Progress } from "../progress.js";
import { SetupError } from "../setup-error.js";
import type { Toolchain } from "../toolchain.js";
import type { RunRequest } from "./arguments.js";
import { IMAGE_NAME, makeDemoImage } from "./demo-image.js";
import { DEMO_SCRIPT, FACTS_FOLDER, readGuestFacts } from "./facts.js";
import { formatClaims, formatPhases } from "./print-report.js";
import { PrivateContainerd } from "./private-containerd.js";
import { judge } from "./proof.js";
import { SAMPLE_BYTES, SMALL_SAMPLE_BYTES } from "./sample-file.js";
import { parseSandboxReport, type SandboxReport } from "./sandbox-report.js";
import { createWorkspace, removeAbandonedWorkspaces, removeWorkspace, type Workspace } from "./workspace.js";

const RUNTIME = "io.containerd.kata-fs.v2";
const LOG_LINES_SHOWN = 40;
const STOP_LIMIT_MS = 3000;

export interface RunOptions {
  readonly directory: PrivateDirectory;
  /** The repository, built. */
  readonly project: string;
  readonly toolchain: Toolchain;
  readonly containerd: Containerd;
  /** What the user's configuration sets, on top of what set-up wrote. */
  readonly overrides: Overrides;
  readonly progress: Progress;
  /** Aborted when the user wants it to end. */
  readonly signal: AbortSignal;
}

/**
 * Runs one container in a VM with a containerd of its own, and cleans up whatever happens.
 *
 * @returns the exit status: the command's own for a request with a command; for the demonstration 0 only if every claim of
 * its report holds.
 * @throws SetupError
 */
export async function runContainer(request: RunRequest, options: RunOptions): Promise<number> {
  await removeAbandonedWorkspaces(options.directory);
  const workspace = await createWorkspace(options.directory);
  let status: number;
  let complaints: string[];
  try {
    status = await runIn(workspace, request, options);
  } finally {
    complaints = await removeWorkspace(workspace);
    for (const complaint of complaints) console.error(`kata-fs: left over and removed: ${complaint}`);
  }
  return complaints.length > 0 && status === 0 ? 1 : status;
}

async function runIn(workspace: Workspace, request: RunRequest, options: RunOptions): Promise<number> {
  const { toolchain, containerd: program, progress, project } = options;
  const step = progress.step(`containerd ${program.version} and an image`);
  const sampleBytes = request.command === undefined ? SAMPLE_BYTES : SMALL_SAMPLE_BYTES;
  const image = await makeDemoImage(
    workspace.disk,
    join(toolchain.guestRoot, "usr/bin/busybox"),
    sampleBytes,
  );
  const { PATH = "" } = process.env;
  const containerd = await PrivateContainerd.start(
    program,
    { root: join(workspace.disk, "containerd"), state: join(workspace.state, "c") },
    {
      ...process.env,
      PATH: [join(project, "dist/bin"), dirname(process.execPath), PATH].join(delimiter),
      KATA_FS_NODE: process.execPath,
      KATA_FS_CONFIG: await writeConfiguration(workspace, options),
    },
  );
  try {
    const { status, stderr } = await containerd.ctr("image", "import", image.file);
    if (status !== 0) throw new SetupError({ found: `ctr image import: ${stderr}`, needed: "an image" });
    step.done("ready");

    const call = callOf(request, workspace, containerd);
    console.log(`$ ${display(call)}\n`);
    const started = performance.now();
    const killContainer = () => containerd.ctr("task", "kill", "--signal", "SIGKILL", workspace.id);
    const exitStatus = await runInForeground(call, options.signal, killContainer);
    const callMs = performance.now() - started;
    console.log("");

    const report = await readReport(workspace);
    if (report === undefined) {
      console.error(
        `kata-fs: no VM came to its regular end; from containerd's log:\n${await containerd.logTail(LOG_LINES_SHOWN)}`,
      );
      return exitStatus || 1;
    }
    if (request.command !== undefined) {
      process.stdout.write(formatPhases(report, callMs));
      return exitStatus;
    }
    if (exitStatus !== 0) {
      console.error(`kata-fs: the container ended with status ${exitStatus}`);
      return exitStatus;
    }
    const guest = await readGuestFacts(workspace.facts);
    const dax = options.overrides.daemon?.dax !== false;
    const claims = judge({ dax, hostKernel: release(), sampleMd5: image.sampleMd5, guest, report });
    process.stdout.write(`Measured in this run:\n${formatClaims(claims)}${formatPhases(report, callMs)}`);
    return claims.every(({ holds }) => holds) ? 0 : 1;
  } finally {
    await removeContainer(containerd, workspace.id);
    await containerd.stop();
  }
}

/** The shim's configuration for this run: set-up's, what the user set, and a report when the sandbox ends. */
async function writeConfiguration(
  workspace: Workspace,
  { directory, overrides }: RunOptions,
): Promise<string> {
  const base = await readFile(directory.configFile, "utf8");
  const file = join(workspace.disk, "config.yaml");
  await writeFile(file, withOverrides(base, overrides, { runtime: { reportDirectory: workspace.reports } }));
  return file;
}

function callOf(request: RunRequest, { id, facts }: Workspace, containerd: PrivateContainerd): string[] {
  return containerd.ctrCommand(
    "run",
    "--rm",
    ...(request.terminal ? ["--tty"] : []),
    "--runtime",
    RUNTIME,
    "--mount",
    `type=bind,src=${facts},dst=${FACTS_FOLDER},options=rbind:rw`,
    IMAGE_NAME,
    id,
    ...(request.command ?? ["/bin/sh", "-c", DEMO_SCRIPT]),
  );
}

/** The call as a shell would take it, with a script of several lines shortened to its place. */
function display(call: readonly string[]): string {
  const quote = (word: string) => {
    if (word.includes("\n")) return "'…'";
    return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
  };
  return call.map(quote).join(" ");
}

/**
 * Runs ctr with this process's own terminal and standard streams and returns its exit status. When `signal` is aborted,
 * `killContainer` should make it end; if that does not help, as before the container runs, it is killed.
 */
async function runInForeground(
  [file = "", ...args]: readonly string[],
  signal: AbortSignal,
  killContainer: () => Promise<unknown>,
): Promise<number> {
  signal.throwIfAborted();
  const child = spawn(file, args, { stdio: "inherit" });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
  const stop = async () => {
    await killContainer();
    await Promise.race([ended, delay(STOP_LIMIT_MS)]);
    child.kill("SIGKILL");
  };
  signal.addEventListener("abort", stop);
  try {
    const status = await ended;
    signal.throwIfAborted();
    return status;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

async function readReport({ id, reports }: Workspace): Promise<SandboxReport | undefined> {
  const file = join(reports, `${id}.json`);
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
  return text === undefined ? undefined : parseSandboxReport(JSON.parse(text));
}

/** What `ctr run --rm` does itself unless it was interrupted; nothing to do is the usual case. */
async function removeContainer(containerd: PrivateContainerd, id: string): Promise<void> {
  const { stdout } = await containerd.ctr("container", "list", "--quiet");
  if (!stdout.split("\n").includes(id)) return;
  await containerd.ctr("task", "delete", "--force", id);
  await containerd.ctr("container", "delete", id);
}
