import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { parseMountPoints, processesMentioning } from "./leftovers.js";

test("mount points are read with their escapes", () => {
  const text = "29 28 0:25 / /a\\040b rw - tmpfs tmpfs rw\n30 29 0:26 / /plain rw - tmpfs tmpfs rw\n";
  assert.deepEqual(parseMountPoints(text), ["/a b", "/plain"]);
});

test("a process is found by what its arguments mention, until it has ended", async () => {
  const mark = `kata-fs-test-${process.pid}`;
  const child = spawn("sleep", ["60"], { argv0: `sleep-${mark}`, stdio: "ignore" });
  await once(child, "spawn");
  assert.deepEqual(
    (await processesMentioning(mark)).map(({ pid }) => pid),
    [child.pid],
  );
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.deepEqual(await processesMentioning(mark), []);
});
