import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { privateDirectory } from "../private-directory.js";
import { createWorkspace, removeAbandonedWorkspaces, removeWorkspace } from "./workspace.js";

async function directoryOf(context: TestContext) {
  const path = await mkdtemp(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rm(path, { recursive: true, force: true }));
  return privateDirectory({ KATA_FS_DIR: path });
}

test("a workspace goes without complaint when nothing is left in it", async (context) => {
  const directory = await directoryOf(context);
  const workspace = await createWorkspace(directory);
  for (const folder of [workspace.disk, workspace.state, workspace.facts, workspace.reports])
    assert(existsSync(folder));
  assert.deepEqual(await removeWorkspace(workspace), []);
  assert(!existsSync(workspace.state));
  assert.deepEqual(await readdir(directory.path), []);
});

test("what killed runs left is found and ended", async (context) => {
  const directory = await directoryOf(context);
  const first = await createWorkspace(directory);
  const second = await createWorkspace(directory);
  const survivor = spawn("sleep", ["60"], { argv0: `sleep-${second.id}`, stdio: "ignore" });
  await once(survivor, "spawn");
  const exit = once(survivor, "exit");
  await removeAbandonedWorkspaces(directory);
  assert.deepEqual(await exit, [null, "SIGKILL"]);
  for (const { state } of [first, second]) assert(!existsSync(state));
  assert.deepEqual(await readdir(directory.path), []);
  await removeAbandonedWorkspaces(directory); // Nothing to do is fine.
});
