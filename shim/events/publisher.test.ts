import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createNetServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createServer, StatusCode, TtrpcError, unary } from "../../lib/ttrpc/index.js";
import { containerd } from "../../proto/index.js";
import type { Logger } from "../log/logger.js";
import { createEventPublisher } from "./publisher.js";

const SILENT: Logger = { error() {}, warn() {}, info() {}, debug() {} };
const EXITED_AT = new Date(1_700_000_000_250);

let directory: string;
let path: string;
let received: containerd.Envelope[];
let servers: Server[];
let sockets: Socket[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-fs-events-"));
  path = join(directory, "containerd.sock.ttrpc");
  received = [];
  servers = [];
  sockets = [];
});
afterEach(() => {
  stopContainerd();
  rmSync(directory, { recursive: true, force: true });
});

/** containerd's end: takes events, and refuses those of a topic. */
async function startContainerd(refusedTopic = ""): Promise<void> {
  const forward = unary(containerd.ForwardRequest, containerd.Empty, async ({ envelope }) => {
    if (envelope.topic === refusedTopic) throw new TtrpcError(StatusCode.INVALID_ARGUMENT, "bad topic");
    received.push(envelope);
    return {};
  });
  const ttrpc = createServer({
    services: { "containerd.services.events.ttrpc.v1.Events": { Forward: forward } },
  });
  const server = createNetServer((socket) => {
    sockets.push(socket);
    ttrpc.handle(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
}

function stopContainerd(): void {
  for (const server of servers.splice(0)) server.close();
  for (const socket of sockets.splice(0)) socket.destroy();
}

const exitOf = (id: string) =>
  ({
    topic: "/tasks/exit",
    containerId: "c",
    id,
    pid: 7,
    exit: { status: 137, exitedAt: EXITED_AT },
  }) as const;

test("containerd gets the event in its envelope", async () => {
  await startContainerd();
  const publisher = createEventPublisher(`unix://${path}`, "k8s.io", SILENT);
  publisher.publish(exitOf("e"));
  await publisher.flush(5_000);
  const [envelope] = received;
  assert.ok(envelope);
  assert.equal(envelope.namespace, "k8s.io");
  assert.equal(envelope.topic, "/tasks/exit");
  assert.ok(Math.abs(envelope.timestamp.seconds - Date.now() / 1_000) < 5);
  assert.equal(envelope.event.type_url, "containerd.events.TaskExit");
  const { container_id, id, pid, exit_status, exited_at } = containerd.TaskExit.decode(envelope.event.value);
  assert.deepEqual([container_id, id, pid, exit_status], ["c", "e", 7, 137]);
  assert.deepEqual([exited_at.seconds, exited_at.nanos], [1_700_000_000, 250_000_000]);
});

test("events wait for a containerd that restarts, in their order", async () => {
  await startContainerd();
  const publisher = createEventPublisher(path, "n", SILENT);
  publisher.publish({ topic: "/tasks/start", containerId: "c", pid: 7 });
  while (received.length === 0) await sleep(5);
  stopContainerd();
  for (const id of ["1", "2", "3"]) publisher.publish(exitOf(id));
  await sleep(100);
  await startContainerd();
  await publisher.flush(5_000);
  const ids = received.slice(1).map(({ event }) => containerd.TaskExit.decode(event.value).id);
  assert.deepEqual(ids, ["1", "2", "3"]);
});

test("an event that containerd refuses does not hold up the next", async () => {
  await startContainerd("/tasks/exit");
  const publisher = createEventPublisher(path, "n", SILENT);
  publisher.publish(exitOf("e"));
  publisher.publish({ topic: "/tasks/oom", containerId: "c" });
  await publisher.flush(5_000);
  assert.deepEqual(
    received.map(({ topic }) => topic),
    ["/tasks/oom"],
  );
});

test("every topic has its payload", async () => {
  await startContainerd();
  const publisher = createEventPublisher(path, "n", SILENT);
  const stdio = { stdin: "/i", stdout: "/o", stderr: "/e", terminal: false };
  const rootfs = [{ type: "overlay", source: "overlay", target: "", options: ["index=off"] }];
  publisher.publish({ topic: "/tasks/create", containerId: "c", bundle: "/b", rootfs, stdio, pid: 7 });
  publisher.publish({ topic: "/tasks/exec-added", containerId: "c", execId: "e" });
  publisher.publish({ topic: "/tasks/exec-started", containerId: "c", execId: "e", pid: 7 });
  publisher.publish({ ...exitOf("c"), topic: "/tasks/delete" });
  await publisher.flush(5_000);
  const [created, added, started, deleted] = received.map(({ event }) => event);
  assert.ok(created && added && started && deleted);
  const create = containerd.TaskCreate.decode(created.value);
  assert.deepEqual([create.bundle, create.rootfs[0]?.options, create.io.stderr], ["/b", ["index=off"], "/e"]);
  assert.equal(containerd.TaskExecAdded.decode(added.value).exec_id, "e");
  assert.equal(containerd.TaskExecStarted.decode(started.value).pid, 7);
  assert.equal(containerd.TaskDelete.decode(deleted.value).exit_status, 137);
  assert.deepEqual(
    [created, added, started, deleted].map(({ type_url }) => type_url),
    ["TaskCreate", "TaskExecAdded", "TaskExecStarted", "TaskDelete"].map(
      (name) => `containerd.events.${name}`,
    ),
  );
});

test("a runtime without an event socket does without", async () => {
  const publisher = createEventPublisher(undefined, "n", SILENT);
  publisher.publish(exitOf("e"));
  await publisher.flush(10);
});
