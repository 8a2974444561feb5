import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isAnswered, listenOn } from "./listen.js";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-fs-listen-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("makes the directory, and a socket for its owner only", async () => {
  const path = join(directory, "s", "socket");
  const server = await listenOn(path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(await isAnswered(path), true);
  server.close();
});

test("replaces the socket of a process that is gone", async () => {
  const path = join(directory, "socket");
  const script = `require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["-e", script, path]);
  assert.equal(existsSync(path), true, "the killed process left its socket file");
  assert.equal(await isAnswered(path), false);
  const server = await listenOn(path);
  assert.equal(await isAnswered(path), true);
  server.close();
});

test("serves those who connected before anybody was ready, and those who come later", async () => {
  const listener = await listenOn(join(directory, "socket"));
  const connectAndRead = () =>
    new Promise((resolve, reject) => {
      connect(listener.path, function (this: Socket) {
        this.once("data", (data) => resolve(data.toString()));
      }).once("error", reject);
    });
  const early = connectAndRead();
  await sleep(20);
  listener.accept((connection) => connection.end("hello"));
  assert.equal(await early, "hello");
  assert.equal(await connectAndRead(), "hello");
  listener.close();
  assert.equal(existsSync(listener.path), false);
});

test("leaves a socket alone that another process serves", async () => {
  const path = join(directory, "socket");
  const server = await listenOn(path);
  await assert.rejects(listenOn(path), /another shim already serves/);
  assert.equal(await isAnswered(path), true);
  server.close();
});
