import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { killProcess } from "./kill-process.js";

test("a process is killed, and one that has ended is no error", async () => {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  await once(child, "spawn");
  const { pid } = child;
  assert.ok(pid !== undefined);
  killProcess(pid);
  const [, signal] = await once(child, "exit");
  assert.equal(signal, "SIGKILL");
  assert.doesNotThrow(() => killProcess(pid));
});

test("what kill(2) refuses otherwise is an error", () => {
  assert.throws(() => killProcess(Number.NaN));
});
