import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { constants, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer as createNetServer, type Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, before, beforeEach, describe, test } from "node:test";
import {
  type Codec,
  callUnary,
  createClient,
  createServer,
  StatusCode,
  type TtrpcClient,
  TtrpcError,
  type TtrpcServer,
} from "../../lib/ttrpc/index.js";
import { cgroups, containerd } from "../../proto/index.js";
import type { EventPublisher } from "../events/task-events.js";
import type { Logger } from "../log/logger.js";
import { Controls } from "./controls.js";
import { FakeSandboxFactory } from "./fake-sandbox.test-support.js";
import { taskServices } from "./task-service.js";
import { Tasks } from "./tasks.js";

const SILENT: Logger = { error() {}, warn() {}, info() {}, debug() {} };

let root: string;
let factory: FakeSandboxFactory;
let topics: string[];
let shutdowns: number;
let server: TtrpcServer;
let listener: Server;
let client: TtrpcClient;
/** The service that is asked: versions 2 and 3 have the same methods and messages. */
let service: string;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "kata-fs-task-service-"));
  factory = new FakeSandboxFactory();
  topics = [];
  shutdowns = 0;
  const events: EventPublisher = { publish: ({ topic }) => void topics.push(topic) };
  const tasks = new Tasks({
    namespace: "n",
    factory,
    events,
    logger: SILENT,
    onContainerGone() {},
  });
  const shutdown = async () => {
    if (tasks.isEmpty) shutdowns++;
  };
  server = createServer({
    services: taskServices(tasks, new Controls(tasks, events), { version: "1.2.3", shutdown }),
  });
  listener = createNetServer((connection) => server.handle(connection));
  client = createClient(await connectedTo(listener, join(root, "socket")));
});

afterEach(async () => {
  client.close();
  listener.close();
  await server.close();
  rmSync(root, { recursive: true, force: true });
});

function connectedTo(target: Server, path: string): Promise<ReturnType<typeof connect>> {
  return new Promise((resolve) => {
    target.listen(path, () => {
      const socket = connect(path, () => resolve(socket));
    });
  });
}

/** Calls a method of the task service. */
async function call<I, O>(
  method: string,
  input: Pick<Codec<I, unknown>, "encode">,
  output: Pick<Codec<never, O>, "decode">,
  request: I,
): Promise<O> {
  return await callUnary(client, service, method, input, output, request, { timeoutMs: 5_000 });
}

const {
  ConnectRequest,
  ConnectResponse,
  CreateTaskRequest,
  CreateTaskResponse,
  DeleteRequest,
  DeleteResponse,
  Empty,
  ExecProcessRequest,
  KillRequest,
  PauseRequest,
  PidsRequest,
  PidsResponse,
  ResizePtyRequest,
  ResumeRequest,
  RuntimeOptions,
  StartRequest,
  StartResponse,
  StateRequest,
  StateResponse,
  StatsRequest,
  StatsResponse,
  Status,
  UpdateTaskRequest,
  WaitRequest,
  WaitResponse,
} = containerd;

async function create(id: string, more: containerd.CreateTaskRequest.$Properties = {}): Promise<number> {
  const bundle = join(root, id);
  mkdirSync(bundle, { recursive: true });
  writeFileSync(join(bundle, "config.json"), "{}");
  return (await call("Create", CreateTaskRequest, CreateTaskResponse, { id, bundle, ...more })).pid;
}

const start = (id: string, exec_id = "") => call("Start", StartRequest, StartResponse, { id, exec_id });
const state = (id: string, exec_id = "") => call("State", StateRequest, StateResponse, { id, exec_id });
const wait = (id: string, exec_id = "") => call("Wait", WaitRequest, WaitResponse, { id, exec_id });
const remove = (id: string, exec_id = "") => call("Delete", DeleteRequest, DeleteResponse, { id, exec_id });
const kill = (id: string, signal: number) => call("Kill", KillRequest, Empty, { id, signal });

function refusedWith(code: StatusCode, message = /./): (error: unknown) => boolean {
  return (error) => error instanceof TtrpcError && error.code === code && message.test(error.rawMessage);
}

for (const version of ["v2", "v3"]) {
  describe(`containerd.task.${version}.Task`, () => {
    before(() => {
      service = `containerd.task.${version}.Task`;
    });

    test("the calls of ctr run, in their order", async () => {
      assert.equal(await create("c"), 4242);
      const { shim_pid, task_pid, version } = await call("Connect", ConnectRequest, ConnectResponse, {
        id: "c",
      });
      assert.deepEqual([shim_pid, task_pid, version], [process.pid, 4242, "1.2.3"]);
      assert.equal((await state("c")).status, containerd.Status.CREATED);
      const waiting = Promise.all([wait("c"), wait("c")]);
      await start("c");
      const { processes } = await call("Pids", PidsRequest, PidsResponse, { id: "c" });
      assert.deepEqual(
        processes.map(({ pid }) => pid),
        [4242],
      );
      assert.equal((await state("c")).status, containerd.Status.RUNNING);
      await call("Shutdown", containerd.ShutdownRequest, Empty, { id: "c" });
      assert.equal(shutdowns, 0, "the container keeps the shim");

      factory.sandbox.process("c").exit(9);
      for (const { exit_status, exited_at } of await waiting) {
        assert.equal(exit_status, 9);
        assert.ok(Math.abs(exited_at.seconds - Date.now() / 1_000) < 5);
      }
      const stopped = await state("c");
      assert.deepEqual([stopped.status, stopped.exit_status], [containerd.Status.STOPPED, 9]);
      const deleted = await remove("c");
      assert.deepEqual([deleted.pid, deleted.exit_status], [4242, 9]);
      await call("Shutdown", containerd.ShutdownRequest, Empty, { id: "c" });
      assert.equal(shutdowns, 1);
      assert.deepEqual(topics, ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    });

    test("exec with stdio: output, input and its end, window size, exit", async () => {
      await create("c");
      await start("c");
      const [stdin = "", stdout = ""] = ["stdin", "stdout"].map((name) => {
        const path = join(root, name);
        execFileSync("mkfifo", [path]);
        return path;
      });
      // As containerd does, before anybody can write: what is written stays until it is read.
      const reader = openSync(stdout, constants.O_RDONLY | constants.O_NONBLOCK);
      const spec = {
        type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process",
        value: Buffer.from('{"args":["sh"]}'),
      };
      const exec = { id: "c", exec_id: "e", stdin, stdout, stderr: "", terminal: true, spec };
      await call("Exec", ExecProcessRequest, Empty, exec);
      await start("c", "e");
      const printed = new Socket({ fd: reader, readable: true, writable: false }).toArray();
      const shown = await state("c", "e");
      assert.deepEqual(
        [shown.stdin, shown.stdout, shown.terminal, shown.exec_id],
        [stdin, stdout, true, "e"],
      );

      const guest = factory.sandbox.process("c", "e");
      await call("ResizePty", ResizePtyRequest, Empty, { id: "c", exec_id: "e", width: 132, height: 43 });
      assert.deepEqual(guest.size, [132, 43]);
      writeFileSync(stdin, "typed");
      await call("CloseIO", containerd.CloseIORequest, Empty, { id: "c", exec_id: "e", stdin: true });
      guest.print("stdout", "shown");
      guest.exit(4);
      assert.equal((await wait("c", "e")).exit_status, 4);
      assert.equal(Buffer.concat(guest.input).toString(), "typed");
      assert.equal(Buffer.concat(await printed).toString(), "shown");
      assert.equal((await remove("c", "e")).exit_status, 4);
    });

    test("Kill reaches the process, and says NOT_FOUND once it has ended", async () => {
      await create("c");
      await start("c");
      await kill("c", 15);
      assert.deepEqual(factory.sandbox.process("c").signals, [15]);
      await assert.rejects(kill("c", 65), refusedWith(StatusCode.INVALID_ARGUMENT));
      await kill("c", 9);
      assert.equal((await wait("c")).exit_status, 137);
      await assert.rejects(kill("c", 9), refusedWith(StatusCode.NOT_FOUND, /process already finished/));
    });

    test("the configuration file comes from our runtime options, and from no others", async () => {
      const value = RuntimeOptions.encode({ config_path: "/etc/k.yaml" }).finish();
      await create("c", { options: { type_url: "containerd.runc.v1.Options", value } });
      assert.deepEqual(factory.specs.at(-1)?.runtimeOptions, { configPath: "", configBody: "" });
      await remove("c");
    });

    test("runtime options of our type", async () => {
      const withOptions = (value: Uint8Array) =>
        create("c", { options: { type_url: "runtimeoptions.v1.Options", value } });
      const withPath = (config_path: string) => withOptions(RuntimeOptions.encode({ config_path }).finish());
      const invalid = StatusCode.INVALID_ARGUMENT;
      await assert.rejects(withOptions(Uint8Array.of(0xff)), refusedWith(invalid, /cannot be decoded/));
      await assert.rejects(withPath("k.yaml"), refusedWith(invalid, /must be absolute/));
      await withPath("/etc/k.yaml");
      assert.deepEqual(factory.specs.at(-1)?.runtimeOptions, { configPath: "/etc/k.yaml", configBody: "" });
    });

    test("runtime options that hold the configuration, as containerd from 1.7 on sends a table without ConfigPath", async () => {
      const config_body = Buffer.from('TypeUrl = "x"\n');
      const value = RuntimeOptions.encode({ type_url: "x", config_body }).finish();
      await create("c", { options: { type_url: "runtimeoptions.v1.Options", value } });
      assert.deepEqual(factory.specs.at(-1)?.runtimeOptions, {
        configPath: "",
        configBody: 'TypeUrl = "x"\n',
      });
    });

    test("what containerd must not be told UNIMPLEMENTED for", async () => {
      factory.failure = new TtrpcError(StatusCode.UNIMPLEMENTED, "agent too old");
      await assert.rejects(create("c"), refusedWith(StatusCode.UNKNOWN, /agent too old/));
      await assert.rejects(create("c", { checkpoint: "/x" }), refusedWith(StatusCode.INVALID_ARGUMENT));
    });

    test("Checkpoint alone is UNIMPLEMENTED", async () => {
      const checkpoint = call("Checkpoint", PidsRequest, Empty, { id: "c" });
      await assert.rejects(checkpoint, refusedWith(StatusCode.UNIMPLEMENTED));
    });

    test("a container is paused and resumed, and only killed in between", async () => {
      await create("c");
      const pause = () => call("Pause", PauseRequest, Empty, { id: "c" });
      const resume = () => call("Resume", ResumeRequest, Empty, { id: "c" });
      const refused = refusedWith(StatusCode.FAILED_PRECONDITION);
      await assert.rejects(pause(), refused);
      await start("c");
      await assert.rejects(resume(), refused);
      await pause();
      assert.equal((await state("c")).status, Status.PAUSED);
      await assert.rejects(pause(), refused);
      const exec = { id: "c", exec_id: "e", spec: { type_url: "x", value: Buffer.from("{}") } };
      await assert.rejects(call("Exec", ExecProcessRequest, Empty, exec), refused);
      await resume();
      assert.equal((await state("c")).status, Status.RUNNING);
      assert.deepEqual(topics.slice(-2), ["/tasks/paused", "/tasks/resumed"]);
      await pause();
      await call("Kill", KillRequest, Empty, { id: "c", signal: 9 });
      await wait("c");
      assert.equal((await state("c")).status, Status.STOPPED);
    });

    test("limits are changed, and what was used is told", async () => {
      await create("c");
      const update = (value: string) =>
        call("Update", UpdateTaskRequest, Empty, {
          id: "c",
          resources: { type_url: "x", value: Buffer.from(value) },
        });
      await assert.rejects(update("3"), refusedWith(StatusCode.INVALID_ARGUMENT));
      await update('{"pids":{"limit":5}}');
      assert.equal(factory.sandbox.calls.at(-1), 'updateContainer c {"pids":{"limit":5}}');
      const { stats } = await call("Stats", StatsRequest, StatsResponse, { id: "c" });
      assert.match(stats?.type_url ?? "", /^io\.containerd\.cgroups\.v[12]\.Metrics$/);
      const { Metrics } = stats?.type_url?.includes("v1") ? cgroups.V1 : cgroups.V2;
      assert.equal(Metrics.decode(stats?.value ?? new Uint8Array()).pids?.current, 7);
    });

    test("requests that make no sense", async () => {
      await assert.rejects(
        call("Create", CreateTaskRequest, CreateTaskResponse, { id: "", bundle: root }),
        refusedWith(StatusCode.INVALID_ARGUMENT),
      );
      await assert.rejects(
        call("Create", CreateTaskRequest, CreateTaskResponse, { id: "c", bundle: join(root, "missing") }),
        refusedWith(StatusCode.INVALID_ARGUMENT, /config\.json/),
      );
      await assert.rejects(state("c"), refusedWith(StatusCode.NOT_FOUND));
      await create("c");
      await assert.rejects(create("c"), refusedWith(StatusCode.ALREADY_EXISTS));
      await start("c");
      await assert.rejects(remove("c"), refusedWith(StatusCode.FAILED_PRECONDITION));
      for (const spec of ["", "{", "3"]) {
        const exec = { id: "c", exec_id: "e", spec: { type_url: "x", value: Buffer.from(spec) } };
        await assert.rejects(
          call("Exec", ExecProcessRequest, Empty, exec),
          refusedWith(StatusCode.INVALID_ARGUMENT),
        );
      }
    });

    test("a Wait that nobody answers holds up nothing", async () => {
      await create("c");
      await start("c");
      const waiting = wait("c");
      for (let i = 0; i < 50; i++) await state("c");
      factory.sandbox.process("c").exit(0);
      await waiting;
    });
  });
}
