import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { recordProcesses } from "../../shim/sandbox/child.js";
import { layoutOf } from "../../shim/sandbox/layout.js";
import { writeRecord } from "../../shim/sandbox/record.js";
import { UsageError } from "../command.js";
import { findSandbox, inspectSandboxes } from "./inspect.js";

/** A state directory, and a way to put sandboxes there whose shim is the process given. */
function state(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-inspect-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const put = (name: string, pids: readonly number[], namespace = "default") => {
    const layout = layoutOf(join(directory, name));
    mkdirSync(layout.directory);
    recordProcesses(layout.processes, pids);
    const identity = { id: name.replace(/-.*/, ""), namespace, address: "/run/no-containerd.sock" };
    writeRecord(layout.record, { version: 1, ...identity, bundle: "/run/b", createdAtMs: 5 });
    return layout;
  };
  return { directory, put };
}

async function endedProcess(): Promise<number> {
  const child = spawn("true");
  await once(child, "exit");
  return child.pid ?? 0;
}

test("a sandbox whose shim is gone is dead, one whose shim does not answer is silent", async (t) => {
  const { directory, put } = state(t);
  put("gone-1", [await endedProcess(), process.pid]);
  put("mute-2", [process.pid]);
  const found = await inspectSandboxes(directory);
  assert.deepEqual(
    found.map(({ name, condition, shimPid, otherPids }) => ({ name, condition, shimPid, otherPids })),
    [
      { name: "gone-1", condition: "dead", shimPid: undefined, otherPids: [process.pid] },
      { name: "mute-2", condition: "silent", shimPid: process.pid, otherPids: [] },
    ],
  );
  assert.match(found[1]?.problem ?? "", /ENOENT|closed/);
});

test("a directory that is just being made is left out, an old one without processes is dead", async (t) => {
  const { directory } = state(t);
  mkdirSync(join(directory, "new"));
  mkdirSync(join(directory, "old"));
  utimesSync(join(directory, "old"), 1000, 1000);
  const found = await inspectSandboxes(directory);
  assert.deepEqual(
    found.map(({ name, condition }) => [name, condition]),
    [["old", "dead"]],
  );
});

test("a sandbox is found by its id, its full name, and the beginning of its directory's", async (t) => {
  const { directory, put } = state(t);
  put("web-1", [process.pid], "a");
  put("web-2", [process.pid], "b");
  put("db-3", [process.pid], "b");
  const nameOf = async (word: string) => (await findSandbox(word, directory)).name;
  assert.equal(await nameOf("db"), "db-3");
  assert.equal(await nameOf("b/web"), "web-2");
  assert.equal(await nameOf("web-1"), "web-1");
  assert.equal(await nameOf("d"), "db-3");
  for (const [word, message] of [
    ["web", /web may be each of a\/web, b\/web; needed/],
    ["none", /there is no sandbox none; `kata-fs list`/],
  ] as const) {
    await assert.rejects(findSandbox(word, directory), (error: unknown) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, message);
      return true;
    });
  }
});
