import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../log/logger.js";
import { EventQueue, EventRejected } from "./event-queue.js";

interface Numbered {
  readonly topic: string;
  readonly number: number;
}

function recorder() {
  const warnings: string[] = [];
  const logger: Logger = {
    error() {},
    warn: (message) => void warnings.push(message),
    info() {},
    debug() {},
  };
  return { warnings, logger };
}

const event = (number: number): Numbered => ({ topic: "/tasks/exit", number });

test("keeps the order, one delivery at a time", async () => {
  const delivered: number[] = [];
  let running = 0;
  const queue = new EventQueue<Numbered>(async ({ number }) => {
    assert.equal(++running, 1);
    await sleep(number % 3);
    running--;
    delivered.push(number);
  }, recorder().logger);
  for (let i = 0; i < 20; i++) queue.push(event(i));
  await queue.flush(5_000);
  assert.deepEqual(delivered, [...Array(20).keys()]);
});

test("tries again while containerd is away, and nothing overtakes", async () => {
  const delivered: number[] = [];
  let attempts = 0;
  const queue = new EventQueue<Numbered>(async ({ number }) => {
    if (++attempts <= 2) throw new Error("connect ECONNREFUSED");
    delivered.push(number);
  }, recorder().logger);
  queue.push(event(1));
  queue.push(event(2));
  await queue.flush(5_000);
  assert.deepEqual(delivered, [1, 2]);
  assert.equal(attempts, 4);
});

test("an event that is refused is logged and does not hold up the others", async () => {
  const { warnings, logger } = recorder();
  const delivered: number[] = [];
  const queue = new EventQueue<Numbered>(async ({ number }) => {
    if (number === 1) throw new EventRejected("no such type");
    delivered.push(number);
  }, logger);
  queue.push(event(1));
  queue.push(event(2));
  await queue.flush(5_000);
  assert.deepEqual(delivered, [2]);
  assert.deepEqual(warnings, ["containerd refused an event"]);
});

test("a full queue loses its oldest waiting event and says so", async () => {
  const { warnings, logger } = recorder();
  const delivered: number[] = [];
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const queue = new EventQueue<Numbered>(
    async ({ number }) => {
      await gate;
      delivered.push(number);
    },
    logger,
    3,
  );
  for (let i = 0; i < 5; i++) queue.push(event(i));
  letGo();
  await queue.flush(5_000);
  assert.deepEqual(delivered, [0, 3, 4]);
  assert.equal(warnings.length, 2);
});

test("flush does not wait for ever", async () => {
  const queue = new EventQueue<Numbered>(() => new Promise(() => {}), recorder().logger);
  queue.push(event(1));
  const startedMs = performance.now();
  await queue.flush(50);
  assert.ok(performance.now() - startedMs < 1_000);
});
