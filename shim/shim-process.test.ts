import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { runningShimPid, writeShimPid } from "./shim-process.js";

let bundle: string;
beforeEach(() => {
  bundle = mkdtempSync(join(tmpdir(), "kata-fs-pid-"));
});
afterEach(() => rmSync(bundle, { recursive: true, force: true }));

test("finds the shim that runs", () => {
  assert.equal(runningShimPid(bundle), undefined);
  writeShimPid(bundle);
  assert.equal(runningShimPid(bundle), process.pid);
});

test("does not take another process with the same pid for it", () => {
  writeShimPid(bundle);
  const [pid, startTime] = readFileSync(join(bundle, "shim.pid"), "utf8").split(" ");
  writeFileSync(join(bundle, "shim.pid"), `${pid} ${Number(startTime) - 1}`);
  assert.equal(runningShimPid(bundle), undefined);
});

test("a process that has ended, and a damaged file", () => {
  writeFileSync(join(bundle, "shim.pid"), "4194303 1");
  assert.equal(runningShimPid(bundle), undefined);
  writeFileSync(join(bundle, "shim.pid"), "-1 1");
  assert.throws(() => runningShimPid(bundle), /shim\.pid is damaged/);
});
