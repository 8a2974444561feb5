import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { directoryIn, mountedHierarchies } from "../../lib/cgroup/hierarchies.js";
import { startTimeOf } from "../shim-process.js";
import { HostCgroups, removeRecordedCgroups } from "./host-cgroups.js";

const hierarchies = mountedHierarchies();
const options = { skip: hierarchies.length === 0 && "no control groups here" };
const silent = { error() {}, warn() {}, info() {}, debug() {} };

function placesOf(pid: number): string[] {
  const procCgroup = readFileSync(`/proc/${pid}/cgroup`, "utf8");
  return hierarchies.map((hierarchy) => directoryIn(hierarchy, procCgroup));
}

const below = (path: string) => hierarchies.map(({ mountPoint }) => join(mountPoint, path));

function placement(t: TestContext, sandboxOnly: boolean) {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-cgroups-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const name = `kata-fs-test-${process.pid}`;
  return { path: `/kata_${name}`, name, sandboxOnly, record: join(directory, "cgroups") };
}

for (const sandboxOnly of [true, false]) {
  const where = sandboxOnly ? "the sandbox's cgroup" : "the overhead's";
  test(`the shim and what it starts are in ${where} until the end`, options, async (t) => {
    const here = placement(t, sandboxOnly);
    const before = placesOf(process.pid);
    const cgroups = HostCgroups.enter(here, silent);
    assert(cgroups);
    const child = spawn("sleep", ["1000"]);
    const ended = once(child, "exit");
    const { pid = 0 } = child;
    const shim = below(sandboxOnly ? here.path : `/kata_overhead/${here.name}`);
    try {
      assert.deepEqual(placesOf(process.pid), shim);
      assert.deepEqual(placesOf(pid), shim);
      // A process of one thread stands for QEMU and its processor.
      cgroups.admitGuest(pid, [pid]);
      assert.deepEqual(placesOf(pid), below(here.path));
      assert.deepEqual(placesOf(process.pid), shim);
    } finally {
      child.kill("SIGKILL");
      await ended;
      await cgroups.leave();
    }
    assert.deepEqual(placesOf(process.pid), before);
    assert.deepEqual([...below(here.path), ...shim].filter(existsSync), []);
  });
}

test("what a shim left is found by its record, and removed with its processes", options, async (t) => {
  const here = placement(t, false);
  const module = new URL("host-cgroups.ts", import.meta.url).href;
  const script = `const { HostCgroups } = await import("${module}");
    const silent = { error() {}, warn() {}, info() {}, debug() {} };
    HostCgroups.enter(${JSON.stringify(here)}, silent);
    const { spawn } = await import("node:child_process");
    const child = spawn("sleep", ["1000"], { stdio: "ignore" });
    process.stdout.write(String(child.pid), () => process.kill(process.pid, "SIGKILL"));`;
  const shim = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script]);
  const [childPid] = await Promise.all([once(shim.stdout, "data"), once(shim, "exit")]);
  assert.ok(startTimeOf(Number(childPid)));
  const left = [...below(here.path), ...below(`/kata_overhead/${here.name}`)];
  assert.deepEqual(left.filter(existsSync), left);
  await removeRecordedCgroups(here.record);
  assert.deepEqual(left.filter(existsSync), []);
  assert.equal(startTimeOf(Number(childPid)), undefined, "what the shim had just started is gone, too");
  await removeRecordedCgroups(here.record);
  await removeRecordedCgroups(`${here.record}-absent`);
});
