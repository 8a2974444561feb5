import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, mock, test } from "node:test";
import { LogFifo } from "./log-fifo.js";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-fs-log-"));
  path = join(directory, "log");
  execFileSync("mkfifo", [path]);
});
afterEach(() => {
  mock.timers.reset();
  rmSync(directory, { recursive: true, force: true });
});

function openReader(): number {
  return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
}

function readAll(fd: number): string {
  const buffer = Buffer.alloc(1 << 20);
  return buffer.toString("utf8", 0, readSync(fd, buffer));
}

test("a line reaches the reader", () => {
  const reader = openReader();
  const log = new LogFifo(path);
  log.write("one\n");
  assert.equal(readAll(reader), "one\n");
  log.destroy();
  closeSync(reader);
});

test("without a reader lines are dropped; a reader that comes back learns how many", () => {
  mock.timers.enable({ apis: ["Date"], now: 0 });
  const first = openReader();
  const log = new LogFifo(path);
  log.write("one\n");
  closeSync(first);
  log.write("lost\n");
  log.write("lost\n");
  const second = openReader();
  mock.timers.setTime(2_000);
  log.write("two\n");
  assert.match(readAll(second), /^time=\S+ level=warning msg="2 log lines lost"\ntwo\n$/);
  log.destroy();
  closeSync(second);
});

test("a full fifo blocks nobody", () => {
  const reader = openReader();
  const log = new LogFifo(path);
  const line = `${"x".repeat(4095)}\n`;
  for (let i = 0; i < 100; i++) log.write(line);
  const first = readAll(reader);
  assert.ok(first.length <= 65_536);
  log.write("after\n");
  assert.match(readAll(reader), /msg="84 log lines lost"\nafter\n$/);
  log.destroy();
  closeSync(reader);
});
