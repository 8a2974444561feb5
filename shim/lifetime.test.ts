import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Lifetime } from "./lifetime.js";

const LIMIT_MS = 50;

async function hasEnded(lifetime: Lifetime, withinMs: number): Promise<string | undefined> {
  return await Promise.race([lifetime.ended, sleep(withinMs, undefined)]);
}

test("ends when nobody ever connects", async () => {
  const lifetime = new Lifetime(
    () => true,
    () => LIMIT_MS,
  );
  assert.match((await hasEnded(lifetime, 1_000)) ?? "", /no task for/);
});

test("a task keeps it, and a connection for longer than nobody would", async () => {
  let isIdle = false;
  const lifetime = new Lifetime(
    () => isIdle,
    () => LIMIT_MS,
  );
  const connection = new Socket();
  lifetime.track(connection);
  assert.equal(await hasEnded(lifetime, 3 * LIMIT_MS), undefined);
  connection.destroy();
  assert.equal(await hasEnded(lifetime, 3 * LIMIT_MS), undefined);
  const returned = new Socket();
  lifetime.track(returned);
  isIdle = true;
  const startedMs = performance.now();
  assert.match((await hasEnded(lifetime, 1_000)) ?? "", /no task for/);
  assert.ok(performance.now() - startedMs >= LIMIT_MS / 2, "not at once");
});

test("ends when it is told", async () => {
  const lifetime = new Lifetime(() => false);
  lifetime.end("Shutdown");
  assert.equal(await lifetime.ended, "Shutdown");
});

test("waits for connections to close, but not for ever", async () => {
  const lifetime = new Lifetime(() => false);
  const [first, second] = [new Socket(), new Socket()];
  lifetime.track(first);
  lifetime.track(second);
  let isClosed = false;
  const closed = lifetime.connectionsClosed(5_000).then(() => {
    isClosed = true;
  });
  first.destroy();
  await sleep(10);
  assert.equal(isClosed, false);
  second.destroy();
  await closed;

  const startedMs = performance.now();
  lifetime.track(new Socket());
  await lifetime.connectionsClosed(30);
  assert.ok(performance.now() - startedMs < 1_000);
  lifetime.end("done");
});

test("a connection that closes after the end does not keep the process", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((type) => type === "Timeout").length;
  const lifetime = new Lifetime(() => true);
  const connection = new Socket();
  lifetime.track(connection);
  lifetime.end("Shutdown");
  const before = timers();
  connection.destroy();
  await sleep(10);
  assert.equal(timers(), before);
});
