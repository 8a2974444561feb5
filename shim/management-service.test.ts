import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer as createNetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { NO_OPTIONS } from "../configs/index.js";
import { type Codec, callUnary, createClient, createServer } from "../lib/ttrpc/index.js";
import { management } from "../proto/index.js";
import { MANAGEMENT_SERVICE, managementService } from "./management-service.js";
import { FakeSandboxFactory } from "./task/fake-sandbox.test-support.js";
import { Tasks } from "./task/tasks.js";
import { TailBuffer } from "./vm/console.js";

const silent = { error() {}, warn() {}, info() {}, debug() {} };

/** A shim's service at a socket, asked as the command asks it. */
async function served(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), "kata-fs-management-"));
  const factory = new FakeSandboxFactory();
  const tasks = new Tasks({
    ...{ namespace: "n", factory, events: { publish() {} }, logger: silent },
    onContainerGone() {},
  });
  const history = new TailBuffer(100);
  const server = createServer({ services: managementService(tasks, history, "1.2.3") });
  const listener = createNetServer((connection) => server.handle(connection));
  const path = join(root, "socket");
  await new Promise<void>((resolve) => listener.listen(path, resolve));
  const client = createClient(connect(path));
  t.after(async () => {
    client.close();
    listener.close();
    await server.close();
    rmSync(root, { recursive: true });
  });
  const create = async (id: string) => {
    const bundle = join(root, id);
    mkdirSync(join(bundle, "rootfs"), { recursive: true });
    writeFileSync(join(bundle, "config.json"), "{}");
    const stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
    await tasks.create(
      { id, bundle, rootfs: [], stdio, runtimeOptions: NO_OPTIONS },
      new AbortController().signal,
    );
  };
  const ask = <T>(name: string, response: Codec<unknown, T>) =>
    callUnary(client, MANAGEMENT_SERVICE, name, management.Empty, response, {}, { timeoutMs: 5000 });
  return { factory, create, ask, client, history };
}

test("a sandbox with its machine and containers is described", async (t) => {
  const { create, ask } = await served(t);
  const before = await ask("Describe", management.Description);
  assert.deepEqual([before.version, before.vm, before.containers], ["1.2.3", null, []]);
  await create("c1");
  const { vm, containers } = await ask("Describe", management.Description);
  assert.deepEqual(
    containers.map(({ id, status, processes }) => [id, status, processes]),
    [["c1", "created", 1]],
  );
  assert.deepEqual(
    { ...vm },
    {
      ...{ accelerator: "tcg", qemu_version: "11.1.3", qemu_pid: 4242, daemon_pid: 4243, daemon_restarts: 2 },
      ...{ cpus: 1, memory_mib: 256, dax: true },
    },
  );
});

test("the guest's console and the metrics are passed on", async (t) => {
  const { create, ask } = await served(t);
  await assert.rejects(ask("Console", management.Text), /the sandbox is not running/);
  await create("c1");
  assert.equal((await ask("Console", management.Text)).text, "Linux version 6.12\n");
  const { guest, daemon } = await ask("Metrics", management.MetricsResponse);
  assert.equal(guest, 'kata_guest_load{item="load1"} 0.5\n');
  assert.deepEqual(JSON.parse(daemon), { devices: [] });
});

test("the log is told from where the last answer ended", async (t) => {
  const { client, history } = await served(t);
  const ask = (since: number) =>
    callUnary(client, MANAGEMENT_SERVICE, "Log", management.LogRequest, management.LogResponse, { since });
  history.append(Buffer.from("one\n"));
  const first = await ask(0);
  assert.deepEqual([first.text, first.end], ["one\n", 4]);
  history.append(Buffer.from("two\n"));
  assert.equal((await ask(first.end)).text, "two\n");
  assert.equal((await ask(8)).text, "");
});

test("kata-fsd is upgraded, and what went wrong is told", async (t) => {
  const { create, client, factory } = await served(t);
  await create("c1");
  const upgrade = () => {
    const [request, response] = [management.UpgradeDaemonRequest, management.UpgradeDaemonResponse];
    return callUnary(client, MANAGEMENT_SERVICE, "UpgradeDaemon", request, response, {
      build: "/new/fsd.cjs",
    });
  };
  const { version, pause_ms } = await upgrade();
  assert.deepEqual([version, pause_ms], ["1.2.4", 12.5]);
  factory.sandbox.failures.set("upgradeDaemon", new Error("it did not come up"));
  await assert.rejects(upgrade(), /it did not come up/);
});

test("an agent that fails to measure is told", async (t) => {
  const { create, ask, factory } = await served(t);
  await create("c1");
  factory.sandbox.failures.set("guestMetrics", new Error("no memory"));
  await assert.rejects(ask("Metrics", management.MetricsResponse), /no memory/);
});
