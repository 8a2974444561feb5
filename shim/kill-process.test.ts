import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { killProcess } from "./kill-process.js";

test("a process is killed, and one that has ended is no error", async () => {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  await once(child, "spawn");
  assert.ok(child.pid !== undefined);
  killProcess(child.pid);
  const [, signal] = await once(child, "exit");
  assert.equal(signal, "SIGKILL");
  assert.doesNotThrow(() => killProcess(child.pid ?? 0));
});

test("what kill(2) refuses otherwise is an error", () => {
  assert.throws(() => killProcess(Number.NaN));
});
