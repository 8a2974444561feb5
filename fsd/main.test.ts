import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PollSet } from "../lib/sys/poll.js";
import { connectUnix } from "../lib/sys/unix-socket.js";
import { TestFrontEnd } from "../lib/vhost-user/testing/test-front-end.js";
import { frontEndServer } from "./testing/front-end-server.js";
import { TestGuest } from "./testing/test-guest.js";

const main = fileURLToPath(new URL("main.ts", import.meta.url));

function start(t: TestContext, dir: string, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, ["--import", "tsx", main, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => {
    if (child.exitCode === null) child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  });
  return child;
}

async function text(stream: NodeJS.ReadableStream | null): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

test("one daemon serves two devices, tells its counters, and ends with its front ends", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const paths = ["a", "b"].map((name) => {
    mkdirSync(join(dir, name));
    writeFileSync(join(dir, name, "file"), `content of ${name}`);
    return { tag: name, socket: join(dir, `${name}.sock`), shared: join(dir, name) };
  });
  const metrics = join(dir, "metrics.sock");
  const groups = paths.flatMap(({ tag, socket, shared }, index) => [
    ...(index === 0 ? [] : ["--device"]),
    ...["--socket-path", socket, "--shared-dir", shared, "--tag", tag],
  ]);
  const child = start(t, dir, [...groups, "--metrics-socket", metrics]);
  while (!paths.every(({ socket }) => existsSync(socket)) && child.exitCode === null) await sleep(20);

  const frontEnds = paths.map(({ tag, socket }) => {
    const socketFd = connectUnix(socket);
    const polled = new PollSet(1);
    const waitForAnswer = () => {
      polled.clear();
      polled.add(socketFd);
      polled.wait(5);
    };
    const frontEnd = new TestFrontEnd(socketFd, waitForAnswer, {
      queueCount: 2,
      queueSize: 64,
      memoryBytes: 1 << 20,
    });
    frontEnd.start();
    const guest = new TestGuest(frontEndServer(frontEnd));
    guest.init();
    const { nodeId } = guest.lookup(1n, "file");
    assert.equal(guest.read(nodeId, guest.open(nodeId), 0, 100).toString(), `content of ${tag}`);
    return frontEnd;
  });

  const report = JSON.parse(await text(connect(metrics)));
  assert.deepEqual(
    report.devices.map(({ tag, readBytes }: { tag: string; readBytes: number }) => [tag, readBytes]),
    [
      ["a", 12],
      ["b", 12],
    ],
  );
  const exit = once(child, "exit");
  for (const frontEnd of frontEnds) frontEnd.close();
  assert.deepEqual(await exit, [0, null]);
});

test("a command line that cannot be followed is one clear line and exit status 2", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const child = start(t, dir, ["--socket-path", join(dir, "s"), "--shared-dir", dir, "--cache", "sometimes"]);
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  assert.match(
    errors,
    /^kata-fsd: --cache=sometimes: possible are auto, always, never, metadata; see kata-fsd --help\n$/,
  );
  assert.equal(code, 2);
});

test("a shared directory that is not there is told before anybody connects", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const socket = join(dir, "s.sock");
  const child = start(t, dir, ["--socket-path", socket, "--shared-dir", join(dir, "absent")]);
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  assert.equal(code, 1);
  assert.match(errors, /absent/);
  assert.ok(!existsSync(socket));
});
