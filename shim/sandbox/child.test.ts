import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { asUser } from "../vm/qemu-user.js";
import { endingWithUs, recordedProcesses, recordProcesses } from "./child.js";
import { cleanUpSandbox } from "./clean-up.js";
import { sandboxLayout } from "./layout.js";

function temporaryFile(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-child-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "processes");
}

function sleeper(t: TestContext): { pid: number; ended: Promise<unknown> } {
  const child = spawn("sleep", ["1000"]);
  t.after(() => child.kill("SIGKILL"));
  return { pid: child.pid ?? 0, ended: once(child, "exit").then(([, signal]) => signal) };
}

test("records processes, and knows which of them have ended", async (t) => {
  const file = temporaryFile(t);
  assert.deepEqual(recordedProcesses(file), []);
  const [first, second] = [sleeper(t), sleeper(t)];
  recordProcesses(file, [first.pid, second.pid]);
  assert.deepEqual(recordedProcesses(file), [first.pid, second.pid]);
  process.kill(first.pid, "SIGKILL");
  await first.ended;
  assert.deepEqual(recordedProcesses(file), [second.pid]);
});

test("another process with the same pid is not the recorded one", (t) => {
  const file = temporaryFile(t);
  recordProcesses(file, [process.pid]);
  writeFileSync(
    file,
    readFileSync(file, "utf8").replace(/\d\n$/, (digit) => `${(Number(digit) + 1) % 10}\n`),
  );
  assert.deepEqual(recordedProcesses(file), []);
});

for (const [what, command] of [
  ["a child", endingWithUs(["sleep", "1000"])],
  ["a child that another user runs", [...asUser(3000, "tcg"), ...endingWithUs(["sleep", "1000"])]],
] as const) {
  test(`${what} ends with its parent, however that ends`, () => endsWithParent(command));
}

async function endsWithParent([file = "", ...args]: readonly string[]): Promise<void> {
  const program = `
    const child = require("node:child_process").spawn(${JSON.stringify(file)}, ${JSON.stringify(args)});
    // The child's name changes when setpriv has done its part.
    const wait = setInterval(() => {
      const name = require("node:fs").readFileSync("/proc/" + child.pid + "/comm", "utf8").trim();
      if (name === "sleep") { console.log(child.pid); clearInterval(wait); }
    }, 5);`;
  const parent = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const [output] = await once(parent.stdout, "data");
  const pid = Number(output);
  parent.kill("SIGKILL");
  await once(parent, "exit");
  const isRunning = () => /^State:\s+[^ZX]/m.test(readStatus(pid));
  for (let i = 0; i < 200 && isRunning(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(isRunning(), false);
}

function readStatus(pid: number): string {
  const file = `/proc/${pid}/status`;
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

test("clean-up ends what a sandbox left, and only that", async (t) => {
  const left = { address: "/run/test.sock", namespace: "n", id: `kata-fs-test-${process.pid}` };
  const layout = sandboxLayout(left);
  const other = sandboxLayout({ ...left, namespace: "other" });
  t.after(() => rmSync(other.directory, { recursive: true, force: true }));
  for (const { shared, mountPoints } of [layout, other]) {
    mkdirSync(shared, { recursive: true });
    mkdirSync(join(mountPoints, "c1", "upper"), { recursive: true });
  }
  const [qemu, foreign] = [sleeper(t), sleeper(t)];
  recordProcesses(layout.processes, [qemu.pid]);
  recordProcesses(other.processes, [foreign.pid]);

  await cleanUpSandbox(left);
  assert.equal(await qemu.ended, "SIGKILL");
  assert.equal(existsSync(layout.directory), false);
  assert.equal(existsSync(other.directory), true);
  assert.deepEqual(recordedProcesses(other.processes), [foreign.pid]);
  await cleanUpSandbox(left);
  assert.equal(existsSync(dirname(layout.directory)), true);
});
