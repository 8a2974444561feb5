import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { listenUnix } from "../lib/sys/unix-socket.js";
import { Opcode } from "./fuse/constants.js";
import { connectGuest } from "./testing/connect-guest.js";
import { needsRoot } from "./testing/fixture.js";
import { cstring, ROOT, TestGuest } from "./testing/test-guest.js";

const main = fileURLToPath(new URL("main.ts", import.meta.url));

/** The daemon alone, without the launcher and what it does for the sandbox. @param inherited becomes descriptor 3 of the daemon */
function start(t: TestContext, dir: string, args: readonly string[], inherited?: number): ChildProcess {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", main, "--sandbox", "none", "--seccomp", "none", ...args],
    {
      stdio: ["ignore", "pipe", "pipe", inherited ?? "ignore"],
    },
  );
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
    const { frontEnd, guest } = connectGuest(socket);
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

/** Waits until the daemon has said that it can be connected to. @returns what it said */
async function ready(child: ChildProcess): Promise<string> {
  let said = "";
  for await (const chunk of child.stderr?.iterator({ destroyOnReturn: false }) ?? []) {
    said += chunk;
    if (said.includes("Waiting for vhost-user socket connection")) return said;
  }
  throw new Error(`not ready: ${said}`);
}

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  test(`${signal} ends the daemon, and its sockets go`, async (t) => {
    const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
    const sockets = ["fs.sock", "metrics.sock"].map((name) => join(dir, name));
    const [socket = "", metrics = ""] = sockets;
    const child = start(t, dir, ["--socket-path", socket, "--shared-dir", dir, "--metrics-socket", metrics]);
    await ready(child);
    assert.ok(sockets.every((path) => existsSync(path)));
    const exit = once(child, "exit");
    child.kill(signal);
    assert.deepEqual(await exit, [0, null]);
    assert.deepEqual(sockets.filter(existsSync), []);
  });
}

test("a signal reaches a daemon that serves", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const socket = join(dir, "fs.sock");
  const child = start(t, dir, ["--socket-path", socket, "--shared-dir", dir]);
  await ready(child);
  const connection = connect(socket);
  await once(connection, "connect");
  // The daemon may end before it has taken the connection.
  connection.on("error", () => {});
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  assert.deepEqual(await exit, [0, null]);
  connection.destroy();
});

test("a socket that another daemon has put in the place of ours is left to it", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const socket = join(dir, "fs.sock");
  const first = start(t, dir, ["--socket-path", socket, "--shared-dir", dir]);
  await ready(first);
  const second = start(t, dir, ["--socket-path", socket, "--shared-dir", dir]);
  await ready(second);
  const exit = once(first, "exit");
  first.kill("SIGTERM");
  await exit;
  assert.ok(existsSync(socket));
});

test("what is at the socket's path and no socket is not replaced", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const path = join(dir, "precious");
  writeFileSync(path, "content");
  const child = start(t, dir, ["--socket-path", path, "--shared-dir", dir]);
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  assert.equal(code, 1);
  assert.match(errors, /EADDRINUSE.*precious|precious.*EADDRINUSE/);
  assert.equal(readFileSync(path, "utf8"), "content");
});

test("--fd serves on a socket that was inherited, as Kata and libvirt pass it, and leaves its file alone", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const socket = join(dir, "fs.sock");
  const listening = listenUnix(socket);
  t.after(() => closeSync(listening));
  // What Kata's runtimes in Go say by default.
  const args = [
    "--syslog",
    "--cache=auto",
    `--shared-dir=${dir}`,
    "--fd=3",
    "--thread-pool-size=1",
    "--announce-submounts",
  ];
  const child = start(t, dir, args, listening);
  await ready(child);
  const exit = once(child, "exit");
  const connection = connect(socket);
  await once(connection, "connect");
  connection.destroy();
  assert.deepEqual(await exit, [0, null]);
  assert.ok(existsSync(socket));
});

test("--fd of something else than a listening socket is refused", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  writeFileSync(join(dir, "file"), "");
  const fd = openSync(join(dir, "file"), "r");
  t.after(() => closeSync(fd));
  const child = start(t, dir, ["--fd", "3", "--shared-dir", dir], fd);
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  assert.equal(code, 1);
  assert.match(errors, /descriptor 3/);
});

test("--socket-group lets a group in; a group that there is not ends the daemon", {
  skip: needsRoot,
}, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const socket = join(dir, "fs.sock");
  const [, name, gid] = /^(?!root)(\w+):[^:]*:(\d+):/m.exec(readFileSync("/etc/group", "utf8")) ?? [];
  assert.ok(name !== undefined);
  await ready(start(t, dir, ["--socket-path", socket, "--shared-dir", dir, "--socket-group", name]));
  assert.equal(lstatSync(socket).gid, Number(gid));
  assert.equal(lstatSync(socket).mode & 0o777, 0o660);
  const other = start(t, dir, [
    "--socket-path",
    join(dir, "other"),
    "--shared-dir",
    dir,
    "--socket-group",
    "no such group",
  ]);
  const [errors, [code]] = await Promise.all([text(other.stderr), once(other, "exit")]);
  assert.equal(code, 1);
  assert.match(errors, /--socket-group=no such group/);
});

test("--rlimit-nofile is what the daemon may open; one that is too high ends it", {
  skip: needsRoot,
}, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const args = ["--socket-path", join(dir, "fs.sock"), "--shared-dir", dir];
  const child = start(t, dir, [...args, "--rlimit-nofile=5000"]);
  await ready(child);
  assert.match(readFileSync(`/proc/${child.pid}/limits`, "utf8"), /^Max open files +5000 +5000 /m);
  const other = start(t, dir, [...args, "--rlimit-nofile=2000000000"]);
  const [errors, [code]] = await Promise.all([text(other.stderr), once(other, "exit")]);
  assert.equal(code, 1);
  assert.match(errors, /RLIMIT_NOFILE 2000000000/);
});

test("--log-level=trace tells each request and what came of it", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const socket = join(dir, "fs.sock");
  const child = start(t, dir, ["--socket-path", socket, "--shared-dir", dir, "--log-level", "trace"]);
  await ready(child);
  const { frontEnd, guest } = connectGuest(socket);
  assert.equal(guest.send(Opcode.LOOKUP, ROOT, [cstring("absent")]).error, "ENOENT");
  frontEnd.close();
  assert.match(await text(child.stderr), /trace: FUSE_LOOKUP of node 1: -2\n/);
});

test("--request-queues: requests come in by each of them", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const socket = join(dir, "fs.sock");
  const child = start(t, dir, ["--socket-path", socket, "--shared-dir", dir, "--request-queues=3"]);
  await ready(child);
  const { frontEnd, guest } = connectGuest(socket, 4);
  const { handle } = guest.server;
  for (const queue of [1, 2, 3]) {
    const onQueue = new TestGuest({
      ...guest.server,
      handle: (_index, head, readable, writable) => handle(queue, head, readable, writable),
    });
    assert.equal(onQueue.lookup(ROOT, "fs.sock").attr.mode & 0o170000, 0o140000);
  }
  frontEnd.close();
});

test("--print-capabilities prints JSON for libvirt", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const child = start(t, dir, ["--print-capabilities"]);
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  assert.equal(code, 0);
  const { type, features } = JSON.parse(out);
  assert.equal(type, "fs");
  assert.ok(features.includes("separate-options"));
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
