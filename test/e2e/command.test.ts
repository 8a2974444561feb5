import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { processesOf } from "../../bench/memory.js";
import { execute, Machine, project } from "./machine.js";

/** Runs the operator's command. */
const kataFs = (...words: readonly string[]) => execute([join(project, "dist/bin/kata-fs"), ...words]);

describe("the kata-fs command beside a sandbox", () => {
  let machine: Machine;

  before(async () => {
    machine = await Machine.start("1.7");
    await machine.runDetached("one", ["/bin/busybox", "sleep", "600"]);
  });
  after(() => machine?.stop());

  /** What `list --json` says of this test's own sandbox. */
  async function listed(suffix: string) {
    const { stdout } = await kataFs("list", "--json");
    const all: readonly Record<string, unknown>[] = JSON.parse(stdout.toString());
    return all.find(({ id }) => id === machine.name(suffix));
  }

  it("lists it with its machine, processes and containers", async () => {
    const processes = processesOf(machine.name("one"));
    const found = await listed("one");
    assert.ok(found);
    assert.equal(found["state"], "running");
    assert.equal(found["namespace"], "default");
    assert.deepEqual(found["containers"], [{ id: machine.name("one"), status: "running", processes: 1 }]);
    const { stdout } = await kataFs("list");
    assert.match(
      stdout.toString(),
      new RegExp(
        `^default +${machine.name("one")} +running +1 .* ${processes.shim} +${processes.qemu} +\\d+$`,
        "m",
      ),
    );
  });

  it("shows the guest's console", async () => {
    const { status, stdout, stderr } = await kataFs("console", `default/${machine.name("one")}`);
    assert.equal(status, 0, stderr);
    assert.match(stdout.toString(), /agent listens/);
  });

  it("removes what is left of it when nobody else does", async () => {
    const found = await listed("one");
    const directory = String(found?.["directory"]);
    // A containerd that stands still sees no end of a shim.
    process.kill(machine.containerd.pid, "SIGSTOP");
    try {
      process.kill(processesOf(machine.name("one")).shim, "SIGKILL");
      const dry = await kataFs("gc", "--dry-run");
      assert.match(dry.stdout.toString(), new RegExp(`^${machine.name("one")}-\\w+: would be removed`, "m"));
      assert.ok(existsSync(directory));
      const { status, stdout, stderr } = await kataFs("gc");
      assert.equal(status, 0, stdout.toString() + stderr);
      assert.match(stdout.toString(), new RegExp(`^${machine.name("one")}-\\w+: removed`, "m"));
      assert.ok(!existsSync(directory));
    } finally {
      process.kill(machine.containerd.pid, "SIGCONT");
    }
    await machine.untilStatus("one", undefined);
    await machine.remove("one");
    assert.deepEqual(await machine.leftovers(), []);
  });
});
