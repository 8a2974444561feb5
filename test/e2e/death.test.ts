import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { processesOf, type SandboxProcesses } from "../../bench/memory.js";
import { Machine } from "./machine.js";

/** How long containerd may take to see that a container is gone. */
const SEEN_LIMIT_MS = 20_000;

describe("a sandbox of which a process dies", () => {
  let machine: Machine;

  before(async () => {
    machine = await Machine.start("1.7");
  });
  after(() => machine?.stop());

  for (const victim of ["qemu", "daemon", "shim"] as const satisfies readonly (keyof SandboxProcesses)[]) {
    it(`is stopped, and leaves nothing, when it is the ${victim}`, async () => {
      await machine.runDetached(victim, ["/bin/busybox", "sleep", "600"]);
      process.kill(processesOf(machine.name(victim))[victim], "SIGKILL");
      if (victim === "shim") await machine.untilStatus(victim, undefined, SEEN_LIMIT_MS);
      else await machine.untilStatus(victim, "STOPPED", SEEN_LIMIT_MS);
      await machine.remove(victim);
      assert.deepEqual(await machine.leftovers(), []);
    });
  }
});
