import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { StatusCode, TtrpcError } from "../../lib/ttrpc/index.js";
import { agent } from "../../proto/index.js";
import type { Logger } from "../log/logger.js";
import { HostEvents, parseLine, type Replayer } from "./host-events.js";

const LINE = {
  device: "kataShared",
  kind: "rename",
  directory: "c1/volumes/0",
  node: "100000005",
  name: "\u00ffnew",
  oldName: "old",
  type: 0o100000,
  isKept: true,
};

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** The daemon's side of a follower's connections. */
async function followed(
  t: TestContext,
  replayer: Replayer,
  logger = silent,
): Promise<{ server: Server; socket: Socket }> {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-events-"));
  const server = createServer();
  const path = join(directory, "s");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const connected = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const events = HostEvents.follow(path, replayer, logger);
  const socket = await connected;
  t.after(() => {
    events.close();
    server.close();
    socket.destroy();
    rmSync(directory, { recursive: true });
  });
  return { server, socket };
}

test("a line of kata-fsd becomes an event for the agent, names byte by byte", () => {
  assert.deepEqual(parseLine(JSON.stringify(LINE)), {
    kind: agent.HostEvent.Kind.RENAME,
    directory: Buffer.from("c1/volumes/0"),
    node: "100000005",
    name: Buffer.from([0xff, 0x6e, 0x65, 0x77]),
    old_name: Buffer.from("old"),
    type: 0o100000,
    kept: true,
  });
  const { name, ...nameless } = LINE;
  for (const wrong of [
    nameless,
    { ...LINE, kind: "x" },
    { ...LINE, device: name },
    { dropped: 3 },
    null,
    1,
  ]) {
    assert.equal(parseLine(JSON.stringify(wrong)), undefined);
  }
  assert.equal(parseLine("{"), undefined);
});

test("events that come while the agent is told of others are told together", async (t) => {
  const calls: number[] = [];
  const answers: (() => void)[] = [];
  const { socket } = await followed(t, {
    replay: ({ share, events }) => {
      assert.equal(share, "/run/kata-containers/shared/containers");
      calls.push(events?.length ?? 0);
      return new Promise((resolve) => answers.push(() => resolve({})));
    },
  });
  const line = `${JSON.stringify(LINE)}\n`;
  socket.write(line);
  await settled(() => calls.length === 1);
  socket.write(line.repeat(130));
  // There is no telling when all of it has been read; what came late would go into a third call, or later.
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(calls, [1]);
  answers.shift()?.();
  await settled(() => calls.length === 2);
  answers.shift()?.();
  await settled(() => calls.length === 3);
  const [first, second = 0, third = 0] = calls;
  assert.deepEqual([first, second + third, calls.length], [1, 130, 3]);
});

test("with an agent that cannot do it the connection ends, so that the daemon watches nothing", async (t) => {
  const { socket } = await followed(t, {
    replay: () => Promise.reject(new TtrpcError(StatusCode.UNIMPLEMENTED, "katafs.HostEvents")),
  });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.resume();
  socket.write(`${JSON.stringify(LINE)}\n`);
  await closed;
});

async function settled(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!isSo() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("whoever comes after the worker that ended is followed", async (t) => {
  let calls = 0;
  const { server, socket } = await followed(t, {
    replay: () => {
      calls++;
      return Promise.resolve({});
    },
  });
  const next = once(server, "connection");
  socket.destroy();
  const [successor] = await next;
  t.after(() => successor.destroy());
  successor.write(`${JSON.stringify(LINE)}\n`);
  await settled(() => calls === 1);
});

test("a daemon that has ended is not looked for again and again", async (t) => {
  const warnings: string[] = [];
  const { server, socket } = await followed(
    t,
    { replay: () => Promise.resolve({}) },
    {
      ...silent,
      warn: (message) => warnings.push(message),
    },
  );
  const closed = once(server, "close");
  server.close();
  socket.destroy();
  await closed;
  await settled(() => warnings.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(warnings.length, 1);
});
