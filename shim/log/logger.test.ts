import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createLogger, withFields } from "./logger.js";

function logged(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-logger-"));
  const path = join(directory, "log");
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  t.after(() => {
    closeSync(reader);
    rmSync(directory, { recursive: true });
  });
  const buffer = Buffer.alloc(1 << 16);
  const lines = () => buffer.toString("utf8", 0, readSync(reader, buffer)).trimEnd().split("\n");
  return { logger: createLogger(path, "info", { sandbox: "s1" }), lines };
}

test("every line has the sandbox, and the container where it is about one, in the format that is set", (t) => {
  const { logger, lines } = logged(t);
  withFields(logger, { container: "c1" }).warn("lost sight", { tookMs: 5 });
  logger.setFormat("json");
  logger.info("in JSON");
  const [first = "", second = ""] = lines();
  assert.match(first, /^time="[^"]+" level=warning msg="lost sight" sandbox=s1 container=c1 tookMs=5$/);
  const { time, ...rest } = JSON.parse(second);
  assert.ok(Date.parse(time) > 0);
  assert.deepEqual(rest, { level: "info", msg: "in JSON", sandbox: "s1" });
});

test("the last lines are kept as JSON, those that the level lets through", (t) => {
  const { logger } = logged(t);
  logger.debug("too fine");
  logger.info("one");
  const { end } = logger.history;
  logger.setLevel("debug");
  logger.debug("two");
  const messages = (since: number) =>
    logger.history
      .since(since)
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).msg);
  assert.deepEqual(messages(0), ["one", "two"]);
  assert.deepEqual(messages(end), ["two"]);
});
