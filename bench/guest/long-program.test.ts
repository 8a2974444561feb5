import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { writeLongProgram } from "./long-program.js";

const BYTES = 8 << 20;

test("a long program has its length, runs and succeeds", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "kata-fs-long-"));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, "program");
  writeLongProgram(path, BYTES);
  assert.equal((await stat(path)).size, BYTES);
  const { status, signal } = spawnSync(path);
  assert.deepEqual({ status, signal }, { status: 0, signal: null });
});
