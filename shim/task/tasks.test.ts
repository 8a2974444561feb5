import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ShimError, StatusCode } from "../error.js";
import type { TaskEvent } from "../events/task-events.js";
import type { Logger } from "../log/logger.js";
import { FakeSandboxFactory } from "./fake-sandbox.test-support.js";
import { type CreateTask, Tasks } from "./tasks.js";

const OPTIONS = { configPath: "/etc/x.yaml", configBody: "" };
/** Of a client that waits. */
const WAITING = new AbortController().signal;
const NO_STDIO = { stdin: "", stdout: "", stderr: "", terminal: false };

let root: string;
let factory: FakeSandboxFactory;
let events: TaskEvent[];
let errors: string[];
let gone: string[];
let tasks: Tasks;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kata-fs-tasks-"));
  factory = new FakeSandboxFactory();
  events = [];
  errors = [];
  gone = [];
  const logger: Logger = {
    error: (message, fields) => void errors.push(`${message} ${JSON.stringify(fields)}`),
    warn() {},
    info() {},
    debug() {},
  };
  tasks = new Tasks({
    namespace: "n",
    factory,
    events: { publish: (event) => void events.push(event) },
    logger,
    onContainerGone: (bundle, { exit }) => void gone.push(`${bundle} ${exit.status}`),
  });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function taskOf(id: string, annotations: Record<string, string> = {}): CreateTask {
  const bundle = join(root, id);
  mkdirSync(bundle, { recursive: true });
  writeFileSync(join(bundle, "config.json"), JSON.stringify({ annotations }));
  return { id, bundle, rootfs: [], stdio: NO_STDIO, runtimeOptions: OPTIONS };
}

const podTask = () => taskOf("pod", { "io.kubernetes.cri.container-type": "sandbox" });
const podContainerTask = (id: string, sandboxId = "pod") =>
  taskOf(id, { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": sandboxId });

function refusedWith(code: StatusCode): (error: unknown) => boolean {
  return (error) => error instanceof ShimError && error.code === code;
}

const heard = () =>
  events.map((event) =>
    "id" in event
      ? `${event.topic} ${event.id}`
      : "execId" in event
        ? `${event.topic} ${event.execId}`
        : event.topic,
  );

test("a single container: events in order, the VM ends with it", async () => {
  assert.equal(await tasks.create(taskOf("c"), WAITING), 4242);
  assert.deepEqual(factory.specs, [
    { id: "c", namespace: "n", bundle: join(root, "c"), runtimeOptions: OPTIONS, abandoned: WAITING },
  ]);
  assert.equal(await tasks.start("c", ""), 4242);
  const process = tasks.process("c", "");
  factory.sandbox.process("c").exit(3);
  assert.equal((await process.exit).status, 3);
  const deleted = await tasks.delete("c", "", WAITING);
  assert.deepEqual([deleted.pid, deleted.exit.status], [4242, 3]);
  assert.deepEqual(heard(), ["/tasks/create", "/tasks/start", "/tasks/exit c", "/tasks/delete"]);
  assert.deepEqual(factory.sandbox.calls, ["createContainer c", "startContainer c", "stop"]);
  assert.equal(tasks.isEmpty, true);
});

test("the exit is known before the VM is torn down, which Delete waits for", async () => {
  let stopped = () => {};
  factory.sandbox.stop = () =>
    new Promise((resolve) => {
      stopped = resolve;
    });
  await tasks.create(taskOf("c"), WAITING);
  await tasks.start("c", "");
  factory.sandbox.process("c").exit(0);
  await tasks.process("c", "").exit;
  assert.equal(heard().at(-1), "/tasks/exit c");
  const deletion = tasks.delete("c", "", WAITING);
  assert.equal(await Promise.race([deletion.then(() => "deleted"), sleep(30, "waits")]), "waits");
  stopped();
  await deletion;
});

test("a pod: containers join the sandbox's VM and leave it one by one", async () => {
  await tasks.create(podTask(), WAITING);
  await tasks.start("pod", "");
  await tasks.create(podContainerTask("a"), WAITING);
  await tasks.start("a", "");
  assert.equal(factory.specs.length, 1);
  factory.sandbox.process("a").exit(0);
  await tasks.process("a", "").exit;
  await tasks.delete("a", "", WAITING);
  assert.deepEqual(factory.sandbox.calls.slice(-1), ["removeContainer a"]);
  assert.deepEqual(gone, [`${join(root, "a")} 0`]);
  assert.equal(tasks.isEmpty, false);
  await tasks.process("pod", "").kill(9, true);
  await tasks.process("pod", "").exit;
  await tasks.delete("pod", "", WAITING);
  assert.equal(factory.sandbox.calls.at(-1), "stop");
  assert.equal(tasks.isEmpty, true);
  assert.equal(tasks.lastDeleted?.exit.status, 137);
  assert.equal(await tasks.vm.stop(), true);
});

test("the end of the sandbox container ends the pod's other containers", async () => {
  await tasks.create(podTask(), WAITING);
  await tasks.start("pod", "");
  await tasks.create(podContainerTask("a"), WAITING);
  await tasks.start("a", "");
  factory.sandbox.process("pod").exit(0);
  assert.equal((await tasks.process("a", "").exit).status, 255);
  await tasks.delete("a", "", WAITING);
  await tasks.delete("pod", "", WAITING);
  assert.equal(factory.sandbox.calls.filter((call) => call === "stop").length, 1);
});

test("exec: added, started, ended, deleted; its id is free again", async () => {
  await tasks.create(taskOf("c"), WAITING);
  await tasks.start("c", "");
  const exec = { id: "c", execId: "e", process: { args: ["ls"] }, stdio: NO_STDIO };
  for (const status of [0, 2]) {
    tasks.exec(exec);
    assert.throws(() => tasks.exec(exec), refusedWith(StatusCode.ALREADY_EXISTS));
    await tasks.start("c", "e");
    await assert.rejects(tasks.delete("c", "e", WAITING), refusedWith(StatusCode.FAILED_PRECONDITION));
    factory.sandbox.process("c", "e").exit(status);
    await tasks.process("c", "e").exit;
    assert.equal((await tasks.delete("c", "e", WAITING)).exit.status, status);
    assert.throws(() => tasks.process("c", "e"), refusedWith(StatusCode.NOT_FOUND));
  }
  assert.ok(factory.sandbox.calls.includes('execProcess c e {"args":["ls"]}'));
  const added = ["/tasks/exec-added e", "/tasks/exec-started e", "/tasks/exit e"];
  assert.deepEqual(heard().slice(2), [...added, ...added]);
});

test("the agent is not asked for an exec's exit before its output is read: it would forget both", async () => {
  await tasks.create(taskOf("c"), WAITING);
  await tasks.start("c", "");
  const stdout = join(root, "stdout");
  execFileSync("mkfifo", [stdout]);
  tasks.exec({ id: "c", execId: "e", process: {}, stdio: { ...NO_STDIO, stdout } });
  let waits = 0;
  const { waitProcess } = factory.sandbox;
  factory.sandbox.waitProcess = (...args) => {
    waits++;
    return waitProcess.apply(factory.sandbox, args);
  };
  await tasks.start("c", "e");
  factory.sandbox.process("c", "e").print("stdout", "text");
  await sleep(20);
  assert.equal(waits, 0);
  factory.sandbox.process("c", "e").exit(0);
  assert.equal((await tasks.process("c", "e").exit).status, 0);
  assert.equal(waits, 1);
});

test("an exec whose program is missing reports the agent's words and can be deleted", async () => {
  await tasks.create(taskOf("c"), WAITING);
  await tasks.start("c", "");
  tasks.exec({ id: "c", execId: "e", process: {}, stdio: NO_STDIO });
  factory.sandbox.failures.set("execProcess", new Error("executable file `nosuch` not found in $PATH"));
  await assert.rejects(tasks.start("c", "e"), /`nosuch` not found in \$PATH/);
  assert.equal((await tasks.delete("c", "e", WAITING)).exit.status, 255);
});

test("exec needs a running container", async () => {
  await tasks.create(taskOf("c"), WAITING);
  const exec = { id: "c", execId: "e", process: {}, stdio: NO_STDIO };
  assert.throws(() => tasks.exec(exec), refusedWith(StatusCode.FAILED_PRECONDITION));
});

test("what is unknown, double, or out of order is refused", async () => {
  assert.throws(() => tasks.process("c", ""), refusedWith(StatusCode.NOT_FOUND));
  await assert.rejects(tasks.delete("c", "", WAITING), refusedWith(StatusCode.NOT_FOUND));
  await assert.rejects(tasks.start("c", ""), refusedWith(StatusCode.NOT_FOUND));
  await assert.rejects(
    tasks.create(podContainerTask("a"), WAITING),
    refusedWith(StatusCode.FAILED_PRECONDITION),
  );
  await tasks.create(podTask(), WAITING);
  await assert.rejects(tasks.create(podTask(), WAITING), refusedWith(StatusCode.ALREADY_EXISTS));
  await assert.rejects(tasks.create(taskOf("other"), WAITING), refusedWith(StatusCode.FAILED_PRECONDITION));
  await assert.rejects(
    tasks.create(podContainerTask("a", "another-pod"), WAITING),
    refusedWith(StatusCode.FAILED_PRECONDITION),
  );
  await tasks.start("pod", "");
  await assert.rejects(tasks.delete("pod", "", WAITING), refusedWith(StatusCode.FAILED_PRECONDITION));
});

test("two Creates at once: one gets the VM", async () => {
  const results = await Promise.allSettled([
    tasks.create(taskOf("c"), WAITING),
    tasks.create(taskOf("d"), WAITING),
  ]);
  assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  assert.equal(factory.specs.length, 1);
});

test("a VM that does not come up leaves nothing, and its reason is the error", async () => {
  factory.failure = new Error("no agent within 60 s; console: Kernel panic");
  await assert.rejects(tasks.create(taskOf("c"), WAITING), /Kernel panic/);
  assert.equal(tasks.isEmpty, true);
  factory.failure = undefined;
  await tasks.create(taskOf("c"), WAITING);
});

test("a container that cannot be created takes its VM with it, but a pod's container does not", async () => {
  factory.sandbox.failures.set("createContainer", new Error("executable file not found"));
  await assert.rejects(tasks.create(taskOf("c"), WAITING), /executable file not found/);
  assert.equal(factory.sandbox.calls.at(-1), "stop");
  assert.equal(tasks.isEmpty, true);

  factory.sandbox.failures.clear();
  await tasks.create(podTask(), WAITING);
  factory.sandbox.calls.length = 0;
  factory.sandbox.failures.set("createContainer", new Error("no such image layer"));
  await assert.rejects(tasks.create(podContainerTask("a"), WAITING), /no such image layer/);
  assert.deepEqual(factory.sandbox.calls, ["createContainer a"]);
});

test("a created container can be deleted without ever having been started", async () => {
  await tasks.create(taskOf("c"), WAITING);
  await tasks.process("c", "").kill(9, true);
  assert.equal((await tasks.delete("c", "", WAITING)).exit.status, 137);
  assert.equal(factory.sandbox.calls.at(-1), "stop");
});

test("Delete waits for a Start that is under way, and then sees a container that runs", async () => {
  let started = () => {};
  factory.sandbox.startContainer = () =>
    new Promise((resolve) => {
      started = resolve;
    });
  await tasks.create(taskOf("c"), WAITING);
  const start = tasks.start("c", "");
  const deletion = tasks.delete("c", "", WAITING);
  await sleep(1);
  started();
  await start;
  await assert.rejects(deletion, refusedWith(StatusCode.FAILED_PRECONDITION));
});

test("a container that is being deleted cannot be started", async () => {
  await tasks.create(taskOf("c"), WAITING);
  const deletion = tasks.delete("c", "", WAITING);
  await sleep(1);
  await assert.rejects(
    tasks.start("c", ""),
    (error) => error instanceof ShimError && !factory.sandbox.calls.includes("startContainer c"),
  );
  assert.equal((await deletion).exit.status, 255);
});

test("the death of the VM ends every process, and the log says why", async () => {
  await tasks.create(podTask(), WAITING);
  await tasks.start("pod", "");
  await tasks.create(podContainerTask("a"), WAITING);
  await tasks.start("a", "");
  tasks.exec({ id: "a", execId: "e", process: {}, stdio: NO_STDIO });
  await tasks.start("a", "e");
  const exits = ["e", ""].map((execId) => tasks.process("a", execId).exit);
  factory.sandbox.die("QEMU was ended by signal 9");
  for (const exit of await Promise.all(exits)) assert.equal(exit.status, 255);
  assert.equal((await tasks.process("pod", "").exit).status, 255);
  assert.match(errors.join("\n"), /the VM is lost .*QEMU was ended by signal 9/);
  await tasks.delete("a", "", WAITING);
  await tasks.delete("pod", "", WAITING);
  assert.equal(factory.sandbox.calls.filter((call) => call === "stop").length, 1);
  assert.equal(heard().filter((topic) => topic.startsWith("/tasks/exit")).length, 3);
});

test("what could not be removed is not claimed to be gone", async () => {
  await tasks.create(podTask(), WAITING);
  await tasks.start("pod", "");
  await tasks.create(podContainerTask("a"), WAITING);
  await tasks.process("a", "").kill(9, true);
  factory.sandbox.failures.set("removeContainer", new Error("busy"));
  await tasks.delete("a", "", WAITING);
  assert.deepEqual(gone, []);
  factory.sandbox.failures.set("stop", new Error("QEMU does not end"));
  assert.equal(await tasks.vm.stop(), false);
  assert.match(errors.join(), /QEMU does not end/);
});

test("the reason of the VM's death is told even if the agent's silence comes first", async () => {
  await tasks.create(podTask(), WAITING);
  await tasks.start("pod", "");
  tasks.exec({ id: "pod", execId: "e", process: {}, stdio: NO_STDIO });
  factory.sandbox.hangUp();
  const start = tasks.start("pod", "e");
  const creation = tasks.create(podContainerTask("a"), WAITING);
  setTimeout(() => factory.sandbox.die("QEMU was ended by signal 9"), 20);
  await assert.rejects(start, /QEMU was ended by signal 9/);
  await assert.rejects(creation, /QEMU was ended by signal 9/);
  assert.equal((await tasks.process("pod", "").exit).status, 255);
  assert.match(errors.join("\n"), /the VM is lost .*QEMU was ended by signal 9/);
});

test("the exits of a lost VM do not wait for its clean-up", async () => {
  factory.sandbox.stop = () => new Promise(() => {});
  await tasks.create(taskOf("c"), WAITING);
  await tasks.start("c", "");
  factory.sandbox.die("kata-fsd was ended by signal 9");
  assert.equal((await tasks.process("c", "").exit).status, 255);
});

test("a container that runs out of memory is reported, every time", async () => {
  await tasks.create(taskOf("c"), WAITING);
  for (const container of ["c", "made-up-by-the-guest", "c"]) {
    factory.sandbox.runOutOfMemory(container);
    await sleep(150);
  }
  assert.equal(heard().filter((topic) => topic === "/tasks/oom").length, 2);
});

test("a Delete that is sent twice gets one answer", async () => {
  await tasks.create(taskOf("c"), WAITING);
  await tasks.start("c", "");
  factory.sandbox.process("c").exit(0);
  await tasks.process("c", "").exit;
  const [first, second] = await Promise.all([tasks.delete("c", "", WAITING), tasks.delete("c", "", WAITING)]);
  assert.deepEqual(first, second);
  assert.equal(heard().filter((topic) => topic === "/tasks/delete").length, 1);
});

test("a container that nobody waits for any more is not kept, and its VM neither", async () => {
  const client = new AbortController();
  const creation = tasks.create(taskOf("c"), client.signal);
  client.abort();
  await assert.rejects(creation, refusedWith(StatusCode.CANCELLED));
  assert.equal(factory.specs[0]?.abandoned, client.signal);
  assert.deepEqual(factory.sandbox.calls, ["createContainer c", "stop"]);
  assert.ok(tasks.isEmpty);
  assert.deepEqual(heard(), []);
});

test("a pod's container that nobody waits for any more is removed, and the pod goes on", async () => {
  await tasks.create(podTask(), WAITING);
  const client = new AbortController();
  const creation = tasks.create(podContainerTask("a"), client.signal);
  client.abort();
  await assert.rejects(creation, refusedWith(StatusCode.CANCELLED));
  assert.deepEqual(factory.sandbox.calls, ["createContainer pod", "createContainer a", "removeContainer a"]);
  await tasks.create(podContainerTask("a"), WAITING);
});

test("a deletion of which no client has heard can be asked for again", async () => {
  await tasks.create(taskOf("c"), WAITING);
  await tasks.process("c", "").kill(9, true);
  const client = new AbortController();
  const deletion = tasks.delete("c", "", client.signal);
  client.abort();
  await deletion;
  assert.equal(tasks.container("c").condition, "stopped");
  assert.equal(tasks.isEmpty, false);
  assert.equal((await tasks.delete("c", "", WAITING)).exit.status, 137);
  assert.deepEqual(factory.sandbox.calls, ["createContainer c", "stop"], "it is done once");
  assert.deepEqual(heard(), ["/tasks/create", "/tasks/delete"]);
  assert.ok(tasks.isEmpty);
});
