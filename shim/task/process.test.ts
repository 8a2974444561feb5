import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ShimError, StatusCode } from "../error.js";
import type { Logger } from "../log/logger.js";
import { type Exit, type GuestProcess, Process } from "./process.js";

const SILENT: Logger = { error() {}, warn() {}, info() {}, debug() {} };
const NO_STDIO = { stdin: "", stdout: "", stderr: "", terminal: false };

/** A promise that the test settles. */
function deferred<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: Error) => void;
} {
  let settle: { resolve: (value: T) => void; reject: (error: Error) => void } | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  assert.ok(settle);
  return { promise, ...settle };
}

class Guest implements GuestProcess {
  readonly started = deferred<void>();
  readonly exited = deferred<number>();
  readonly signals: [number, boolean][] = [];
  start = () => this.started.promise;
  wait = () => this.exited.promise;
  async signal(signal: number, all: boolean): Promise<void> {
    this.signals.push([signal, all]);
  }
  async resizePty(_columns: number, _rows: number): Promise<void> {}
  async readStdout(): Promise<Uint8Array> {
    return new Uint8Array(0);
  }
  async readStderr(): Promise<Uint8Array> {
    return new Uint8Array(0);
  }
  async writeStdin(data: Uint8Array): Promise<number> {
    return data.length;
  }
  async closeStdin(): Promise<void> {}
}

function create(terminal = false) {
  const guest = new Guest();
  const heard: (string | number)[] = [];
  const process = new Process(
    "exec e1",
    { ...NO_STDIO, terminal },
    guest,
    { started: () => heard.push("started"), exited: (exit: Exit) => heard.push("exited", exit.status) },
    { namespace: "n", id: "e1" },
    SILENT,
  );
  return { guest, heard, process };
}

function refusedWith(code: StatusCode): (error: unknown) => boolean {
  return (error) => error instanceof ShimError && error.code === code;
}

test("created, running, stopped; every waiter hears of the exit, the late one too", async () => {
  const { guest, heard, process } = create();
  const waiters = [process.exit, process.exit];
  assert.equal(process.status, "created");
  guest.started.resolve();
  await process.start();
  assert.equal(process.status, "running");
  guest.exited.resolve(7);
  for (const exit of await Promise.all([...waiters, process.exit])) assert.equal(exit.status, 7);
  assert.equal(process.status, "stopped");
  assert.ok(Math.abs(Date.now() - (process.lastExit?.exitedAt.getTime() ?? 0)) < 1_000);
  assert.deepEqual(heard, ["started", "exited", 7]);
});

test("a process that is gone the moment it starts is still announced first", async () => {
  const { guest, heard, process } = create();
  guest.exited.resolve(0);
  guest.started.resolve();
  await process.start();
  await process.exit;
  assert.deepEqual(heard, ["started", "exited", 0]);
});

test("starts once", async () => {
  const { guest, process } = create();
  const first = process.start();
  await assert.rejects(process.start(), refusedWith(StatusCode.FAILED_PRECONDITION));
  guest.started.resolve();
  await first;
  await assert.rejects(process.start(), refusedWith(StatusCode.FAILED_PRECONDITION));
});

test("a start that fails releases the waiters, without events", async () => {
  const { guest, heard, process } = create();
  guest.started.reject(new Error("executable file not found in $PATH"));
  await assert.rejects(process.start(), /not found in \$PATH/);
  assert.equal((await process.exit).status, 255);
  assert.equal(process.status, "stopped");
  assert.deepEqual(heard, []);
});

test("signals: none before the start, none after the end", async () => {
  const { guest, process } = create();
  await assert.rejects(process.kill(15, false), refusedWith(StatusCode.FAILED_PRECONDITION));
  guest.started.resolve();
  await process.start();
  await process.kill(15, true);
  assert.deepEqual(guest.signals, [[15, true]]);
  guest.exited.resolve(143);
  await process.exit;
  await assert.rejects(process.kill(9, false), (error) => {
    assert.ok(error instanceof ShimError);
    assert.match(error.message, /process already finished/);
    return error.code === StatusCode.NOT_FOUND;
  });
});

test("SIGKILL stops what was never started", async () => {
  const { guest, heard, process } = create();
  await process.kill(9, true);
  assert.equal((await process.exit).status, 137);
  assert.deepEqual(guest.signals, []);
  assert.deepEqual(heard, []);
  await assert.rejects(process.start(), refusedWith(StatusCode.FAILED_PRECONDITION));
});

test("SIGKILL during the start reaches the process", async () => {
  const { guest, process } = create();
  const start = process.start();
  const kill = process.kill(9, false);
  await sleep(5);
  guest.started.resolve();
  await Promise.all([start, kill]);
  assert.deepEqual(guest.signals, [[9, false]]);
});

test("a signal that fails because the process has just ended says that", async () => {
  const { guest, process } = create();
  guest.started.resolve();
  await process.start();
  guest.signal = async () => {
    guest.exited.resolve(0);
    await process.exit;
    throw new Error("ESRCH");
  };
  await assert.rejects(process.kill(9, false), refusedWith(StatusCode.NOT_FOUND));
});

test("the loss of the VM ends it, once", async () => {
  const { guest, heard, process } = create();
  guest.started.resolve();
  await process.start();
  process.lost();
  guest.exited.reject(new Error("connection closed"));
  assert.equal((await process.exit).status, 255);
  await sleep(5);
  assert.deepEqual(heard, ["started", "exited", 255]);
});

test("a VM that is lost during the start", async () => {
  const { guest, heard, process } = create();
  const start = process.start();
  process.lost();
  await process.exit;
  guest.started.resolve();
  await start;
  assert.deepEqual(heard, ["started", "exited", 255]);
});

test("an agent that fails to wait does not leave the process running for ever", async () => {
  const { guest, process } = create();
  guest.started.resolve();
  await process.start();
  guest.exited.reject(new Error("ttrpc: closed"));
  assert.equal((await process.exit).status, 255);
});

test("resize needs a terminal and a process", async () => {
  const without = create();
  without.guest.started.resolve();
  await without.process.start();
  await assert.rejects(without.process.resizePty(80, 25), refusedWith(StatusCode.FAILED_PRECONDITION));

  const { guest, process } = create(true);
  const sizes: [number, number][] = [];
  guest.resizePty = async (...size: [number, number]) => void sizes.push(size);
  await assert.rejects(process.resizePty(80, 25), refusedWith(StatusCode.FAILED_PRECONDITION));
  guest.started.resolve();
  await process.start();
  await process.resizePty(80, 25);
  guest.exited.resolve(0);
  await process.exit;
  await process.resizePty(1, 1);
  assert.deepEqual(sizes, [[80, 25]]);
});
