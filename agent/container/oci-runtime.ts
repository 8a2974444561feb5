import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "../../lib/sys/errno.js";
import { AgentError } from "../error.js";
import type { Reaper } from "../reaper.js";
import { type Stdio, spawn } from "../sys/spawn.js";
import { wordedAsRunc } from "./runtime-reason.js";

export interface OciRuntimeOptions {
  /** Absolute path of crun. */
  readonly path: string;
  /** An existing directory for its state and for what passes between it and us; its path is short enough for sockets. */
  readonly workDirectory: string;
  /** Its --cgroup-manager: "cgroupfs" in a guest. */
  readonly cgroupManager: string;
}

/** Where a launched process gets its standard streams. */
export interface LaunchIo {
  /** What the process inherits. With a terminal only the runtime's own messages go there. */
  readonly stdio: Stdio;
  /** With a terminal: the UNIX socket that gets the master side (runc's console socket protocol). */
  readonly consoleSocket?: string;
}

/** A process that the runtime left to us. */
export interface LaunchedProcess {
  readonly pid: number;
  readonly exited: Promise<number>;
}

/**
 * crun, by its command line. The processes that it makes outlive it as orphans, so they come to this process and the reaper tells
 * how they end.
 */
export class OciRuntime {
  #files = 0;

  constructor(
    private readonly options: OciRuntimeOptions,
    private readonly reaper: Reaper,
  ) {}

  /** A path for a file that nobody else uses; whoever makes the file removes it. */
  scratchPath(kind: string): string {
    return join(this.options.workDirectory, `${++this.#files}.${kind}`);
  }

  /** Makes the container that `bundle` describes; its process waits for {@link start}. */
  create(containerId: string, bundle: string, io: LaunchIo): Promise<LaunchedProcess> {
    return this.#launch(io, (pidFile, console) => [
      "create",
      ...["--bundle", bundle, "--pid-file", pidFile, ...console],
      containerId,
    ]);
  }

  /** Lets the process of a created container execute its program. */
  async start(containerId: string): Promise<void> {
    await this.#command(["start", containerId]);
  }

  /** Runs a further process in a container. `processFile` holds a process object of the runtime specification. */
  exec(containerId: string, processFile: string, io: LaunchIo): Promise<LaunchedProcess> {
    return this.#launch(io, (pidFile, console) => [
      "exec",
      ...["--detach", "--process", processFile, "--pid-file", pidFile, ...console],
      containerId,
    ]);
  }

  /** Ends whatever is left of a container and its cgroup. */
  async delete(containerId: string): Promise<void> {
    await this.#command(["delete", "--force", containerId]);
  }

  /** Changes limits; `resourcesFile` holds a resources object of the runtime specification. */
  async update(containerId: string, resourcesFile: string): Promise<void> {
    await this.#command(["update", "--resources", resourcesFile, containerId]);
  }

  async #launch(
    io: LaunchIo,
    args: (pidFile: string, console: string[]) => string[],
  ): Promise<LaunchedProcess> {
    const pidFile = this.scratchPath("pid");
    const console = io.consoleSocket === undefined ? [] : ["--console-socket", io.consoleSocket];
    return this.reaper.launch(async () => {
      try {
        await this.#run(args(pidFile, console), io.stdio);
        const pid = Number(readFileSync(pidFile, "utf8"));
        if (!Number.isInteger(pid) || pid <= 0)
          throw new AgentError("INTERNAL", `${pidFile}: not a process id`);
        return { pid, exited: this.reaper.exitOf(pid) };
      } finally {
        rmSync(pidFile, { force: true });
      }
    });
  }

  async #command(args: string[]): Promise<void> {
    const devNull = openSync("/dev/null", "r+");
    try {
      await this.#run(args, [devNull, devNull, devNull]);
    } finally {
      closeSync(devNull);
    }
  }

  async #run(args: string[], stdio: Stdio): Promise<void> {
    const { path, workDirectory, cgroupManager } = this.options;
    const logFile = this.scratchPath("log");
    const globals = [
      ...["--root", join(workDirectory, "crun")],
      ...["--cgroup-manager", cgroupManager],
      ...["--log", `file:${logFile}`, "--log-format", "json"],
    ];
    try {
      const exitCode = await this.reaper.launch(async () =>
        this.reaper.exitOf(spawn(path, [...globals, ...args], environment(), stdio)),
      );
      if (exitCode !== 0) {
        const reason = readReason(logFile) ?? `exit status ${exitCode}`;
        throw new AgentError("INTERNAL", `OCI runtime ${args[0]} failed: ${reason}`);
      }
    } finally {
      rmSync(logFile, { force: true });
    }
  }
}

function environment(): string[] {
  return [`PATH=${process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"}`];
}

/** The last message of crun's log (`--log-format json`: an object a line with "msg"), which is why it failed, in runc's words. */
function readReason(logFile: string): string | undefined {
  try {
    const line = readFileSync(logFile, "utf8").trimEnd().split("\n").at(-1) ?? "";
    const entry: unknown = JSON.parse(line);
    if (typeof entry === "object" && entry !== null && "msg" in entry) return wordedAsRunc(String(entry.msg));
  } catch (error) {
    // No log, or one cut off: the exit status must do.
    if (!(error instanceof SyntaxError) && !hasErrno(error, "ENOENT")) throw error;
  }
  return undefined;
}
