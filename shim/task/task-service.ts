import type { ServiceTable, UnaryHandler } from "../../lib/ttrpc/index.js";
import { containerd } from "../../proto/index.js";
import { ShimError, StatusCode } from "../error.js";
import { timestampOf } from "../timestamp.js";
import type { Controls } from "./controls.js";
import { method } from "./method.js";
import { hostCgroupVersion, metricsOf } from "./metrics-message.js";
import type { Exit, ProcessStatus } from "./process.js";
import { runtimeOptionsOf } from "./runtime-options.js";
import type { Tasks } from "./tasks.js";

/** Linux has the signals 1 to 64. */
const SIGNAL_MAX = 64;
/** A terminal's size is two 16-bit numbers: struct winsize of ioctl_tty(2). */
const WINDOW_SIZE_MAX = 0xffff;

const STATUS: Readonly<Record<ProcessStatus | "paused", containerd.Status>> = {
  created: containerd.Status.CREATED,
  running: containerd.Status.RUNNING,
  paused: containerd.Status.PAUSED,
  stopped: containerd.Status.STOPPED,
};

/** What the service needs to know beside the tasks. */
export interface TaskServiceOptions {
  readonly version: string;
  /** Ends the shim if no task is left, and otherwise does nothing. What it promises is done before Shutdown is answered. */
  shutdown(): Promise<void>;
}

/**
 * containerd's task API, versions 2 and 3, which have the same messages. Checkpoint is not in the table and so answered with
 * UNIMPLEMENTED.
 */
export function taskServices(
  tasks: Tasks,
  controls: Controls,
  { version, shutdown }: TaskServiceOptions,
): ServiceTable {
  const methods: Readonly<Record<string, UnaryHandler>> = {
    Create: method(
      containerd.CreateTaskRequest,
      containerd.CreateTaskResponse,
      async (request, { signal }) => ({
        pid: await create(tasks, request, signal),
      }),
    ),
    Start: method(containerd.StartRequest, containerd.StartResponse, async ({ id, exec_id }) => ({
      pid: await tasks.start(id, exec_id),
    })),
    State: method(containerd.StateRequest, containerd.StateResponse, async (request) =>
      state(tasks, request),
    ),
    Wait: method(containerd.WaitRequest, containerd.WaitResponse, async ({ id, exec_id }) =>
      exitFields(await tasks.process(id, exec_id).exit),
    ),
    Kill: method(containerd.KillRequest, containerd.Empty, async ({ id, exec_id, signal, all }) => {
      if (signal > SIGNAL_MAX) throw invalid(`there is no signal ${signal}`);
      await tasks.process(id, exec_id).kill(signal, all);
      return {};
    }),
    Delete: method(
      containerd.DeleteRequest,
      containerd.DeleteResponse,
      async ({ id, exec_id }, { signal }) => {
        const { pid, exit } = await tasks.delete(id, exec_id, signal);
        return { pid, ...exitFields(exit) };
      },
    ),
    Exec: method(containerd.ExecProcessRequest, containerd.Empty, async (request) => {
      exec(tasks, request);
      return {};
    }),
    ResizePty: method(
      containerd.ResizePtyRequest,
      containerd.Empty,
      async ({ id, exec_id, width, height }) => {
        if (width > WINDOW_SIZE_MAX || height > WINDOW_SIZE_MAX) {
          throw invalid(`no terminal is ${width} columns by ${height} rows`);
        }
        await tasks.process(id, exec_id).resizePty(width, height);
        return {};
      },
    ),
    CloseIO: method(containerd.CloseIORequest, containerd.Empty, async ({ id, exec_id, stdin }) => {
      const process = tasks.process(id, exec_id);
      if (stdin) process.io.closeStdin();
      return {};
    }),
    Pids: method(containerd.PidsRequest, containerd.PidsResponse, async ({ id }) => {
      tasks.container(id);
      return { processes: [{ pid: tasks.vm.pid }] };
    }),
    Pause: method(containerd.PauseRequest, containerd.Empty, async ({ id }) => {
      await controls.pause(id);
      return {};
    }),
    Resume: method(containerd.ResumeRequest, containerd.Empty, async ({ id }) => {
      await controls.resume(id);
      return {};
    }),
    Update: method(containerd.UpdateTaskRequest, containerd.Empty, async ({ id, resources }) => {
      await controls.update(id, jsonOf(resources, "the resources of Update"));
      return {};
    }),
    Stats: method(containerd.StatsRequest, containerd.StatsResponse, async ({ id }) => ({
      stats: metricsOf(await controls.stats(id), hostCgroupVersion()),
    })),
    Connect: method(containerd.ConnectRequest, containerd.ConnectResponse, async () => ({
      shim_pid: process.pid,
      task_pid: tasks.vm.pid,
      version,
    })),
    Shutdown: method(containerd.ShutdownRequest, containerd.Empty, async () => {
      await shutdown();
      return {};
    }),
  };
  return { "containerd.task.v2.Task": methods, "containerd.task.v3.Task": methods };
}

async function create(
  tasks: Tasks,
  request: containerd.CreateTaskRequest,
  abandoned: AbortSignal,
): Promise<number> {
  const { id, bundle, stdin, stdout, stderr, terminal } = request;
  if (id === "" || !bundle.startsWith("/"))
    throw invalid("Create needs an id and the absolute path of a bundle");
  if (request.checkpoint !== "") throw invalid("kata-fs cannot restore a checkpoint");
  const rootfs = request.rootfs.map(({ type, source, target, options }) => ({
    type,
    source,
    target,
    options,
  }));
  const stdio = { stdin, stdout, stderr, terminal };
  const runtimeOptions = runtimeOptionsOf(request.options);
  return await tasks.create({ id, bundle, rootfs, stdio, runtimeOptions }, abandoned);
}

function state(tasks: Tasks, { id, exec_id }: containerd.StateRequest): containerd.StateResponse.$Properties {
  const container = tasks.container(id);
  const process = container.process(exec_id);
  const status = exec_id === "" ? container.condition : process.status;
  const { stdin, stdout, stderr, terminal } = process.stdio;
  return {
    id,
    exec_id,
    bundle: container.bundle,
    pid: tasks.vm.pid,
    status: STATUS[status],
    stdin,
    stdout,
    stderr,
    terminal,
    ...(process.lastExit !== undefined && exitFields(process.lastExit)),
  };
}

function exec(tasks: Tasks, request: containerd.ExecProcessRequest): void {
  const { id, exec_id: execId, stdin, stdout, stderr, terminal } = request;
  if (execId === "") throw invalid("Exec needs an exec id");
  const process = jsonOf(request.spec, "the process of Exec");
  tasks.exec({ id, execId, process, stdio: { stdin, stdout, stderr, terminal } });
}

/** The JSON object in a message of containerd's. @param what the message is in errors */
function jsonOf(message: containerd.Any | null, what: string): object {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(message?.value ?? []).toString("utf8"));
  } catch (error) {
    throw invalid(`${what} (${message?.type_url ?? "none"}) is no JSON`, error);
  }
  if (typeof value !== "object" || value === null) throw invalid(`${what} is no JSON object`);
  return value;
}

function exitFields({ status, exitedAt }: Exit): {
  exit_status: number;
  exited_at: containerd.Timestamp.$Properties;
} {
  return { exit_status: status, exited_at: timestampOf(exitedAt) };
}

function invalid(message: string, cause?: unknown): ShimError {
  return new ShimError(StatusCode.INVALID_ARGUMENT, message, { cause });
}
