import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { type TestContext, test } from "node:test";
import { createServer, unary } from "../../lib/ttrpc/index.js";
import { agent } from "../../proto/index.js";
import { ShimError, StatusCode } from "../error.js";
import { AGENT_PORT, type BootOptions, connectAgent } from "./guest-boot.js";

const never = new Promise<Error>(() => {});

/** An agent that answers health checks at a UNIX socket, and a way to reach it. */
async function servedAgent(t: TestContext): Promise<() => Promise<Duplex>> {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-agent-"));
  const path = join(directory, "agent.sock");
  const check = unary(agent.CheckRequest, agent.HealthCheckResponse, async () => ({ status: 1 }));
  const ttrpc = createServer({ services: { "grpc.Health": { Check: check } } });
  const sockets = createSocketServer((socket) => ttrpc.handle(socket));
  await new Promise<void>((resolve) => sockets.listen(path, resolve));
  t.after(async () => {
    await ttrpc.close();
    sockets.close();
    rmSync(directory, { recursive: true });
  });
  return () =>
    new Promise((resolve, reject) => {
      const socket = createConnection(path, () => resolve(socket));
      socket.once("error", reject);
    });
}

function boot(options: Partial<BootOptions> & Pick<BootOptions, "connect">) {
  return connectAgent({
    timeLimitMs: 5000,
    lost: never,
    describeConsole: () => "end of its console: Kernel panic",
    ...options,
  });
}

test("tries until the agent listens", async (t) => {
  const reach = await servedAgent(t);
  const ports: number[] = [];
  const client = await boot({
    connect: (port) => (ports.push(port) < 3 ? Promise.reject(new Error("ECONNRESET")) : reach()),
  });
  client.close();
  assert.deepEqual(ports, [AGENT_PORT, AGENT_PORT, AGENT_PORT]);
});

test("a guest that stays silent is given up in time, with the end of its console", async () => {
  const started = performance.now();
  const silent = boot({ connect: () => Promise.reject(new Error("nobody listens")), timeLimitMs: 100 });
  await assert.rejects(silent, (error) => {
    assert(error instanceof ShimError);
    assert.equal(error.code, StatusCode.DEADLINE_EXCEEDED);
    assert.match(error.message, /^the agent in the guest does not answer within 0\.1 s .*Kernel panic$/);
    return true;
  });
  assert(performance.now() - started < 2000);
});

test("a connection that never comes is given up as well", async () => {
  const connect: BootOptions["connect"] = (_port, signal) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("given up"))));
  await assert.rejects(boot({ connect, timeLimitMs: 50 }), /does not answer within 0\.05 s \(given up\)/);
});

test("a guest that is lost is not waited for", async () => {
  const lost = Promise.resolve(new Error("QEMU ended with exit status 1"));
  const silent = boot({ connect: () => Promise.reject(new Error("nobody listens")), lost });
  await assert.rejects(silent, /^Error: QEMU ended with exit status 1$/);
});
