import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ShimError, StatusCode } from "../error.js";
import { recordedProcesses, recordedShim, recordProcesses } from "./child.js";
import { claimDirectory } from "./claim-directory.js";
import { sandboxLayout } from "./layout.js";

const logger = { debug() {}, info() {}, warn() {}, error() {} };

function sandbox(t: TestContext, name: string) {
  const id = `kata-fs-claim-${name}-${process.pid}`;
  const identity = { address: "/run/test.sock", namespace: "n", id, bundle: "/run/bundle" };
  const layout = sandboxLayout(identity);
  t.after(() => rmSync(layout.directory, { recursive: true, force: true }));
  return { identity, layout };
}

function sleeper(t: TestContext) {
  const child = spawn("sleep", ["1000"]);
  t.after(() => child.kill("SIGKILL"));
  return { pid: child.pid ?? 0, ended: once(child, "exit").then(([, signal]) => signal) };
}

test("the directory is this process's, and no other sandbox of the name begins", async (t) => {
  const { identity, layout } = sandbox(t, "twice");
  await claimDirectory(identity, logger);
  assert.equal(recordedShim(layout.processes), process.pid);
  await assert.rejects(claimDirectory(identity, logger), (error: unknown) => {
    assert.ok(error instanceof ShimError);
    assert.equal(error.code, StatusCode.ALREADY_EXISTS);
    assert.match(
      error.message,
      new RegExp(`another sandbox has this id: .*the shim with pid ${process.pid}`),
    );
    return true;
  });
  assert.deepEqual(recordedProcesses(layout.processes), [process.pid]);
});

test("what a shim left that was killed is cleaned up, its processes too", async (t) => {
  const { identity, layout } = sandbox(t, "stale");
  const [shim, qemu] = [sleeper(t), sleeper(t)];
  mkdirSync(join(layout.mountPoints, "c1"), { recursive: true });
  mkdirSync(layout.shared);
  writeFileSync(join(layout.directory, "left"), "");
  recordProcesses(layout.processes, [shim.pid, qemu.pid]);
  await assert.rejects(claimDirectory(identity, logger), /another sandbox has this id/);
  assert.equal(existsSync(join(layout.directory, "left")), true);

  process.kill(shim.pid, "SIGKILL");
  await shim.ended;
  await claimDirectory(identity, logger);
  assert.equal(await qemu.ended, "SIGKILL");
  assert.equal(existsSync(join(layout.directory, "left")), false);
  assert.deepEqual(recordedProcesses(layout.processes), [process.pid]);
});

test("a directory without a record is nobody's", async (t) => {
  const { identity, layout } = sandbox(t, "bare");
  mkdirSync(layout.directory, { recursive: true });
  await claimDirectory(identity, logger);
  assert.equal(recordedShim(layout.processes), process.pid);
});
