import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { processesOf } from "../../bench/memory.js";
import { Machine } from "./machine.js";

/** How long containerd may take to see that a container is gone. */
const SEEN_LIMIT_MS = 30_000;
/** Long enough for a guest that has to share its processor, under emulation. */
const SILENCE_SECONDS = 6;
const SANDBOXES = "/run/kata-fs";

describe("a guest that is not well", () => {
  let machine: Machine;

  before(async () => {
    machine = await Machine.start("1.7", {
      timeLimits: { guestSilenceSeconds: SILENCE_SECONDS, agentCheckSeconds: 1 },
      runtime: { sandboxCgroupOnly: true },
    });
  });
  after(() => machine?.stop());

  /** Waits until containerd sees the container stopped, and removes it. @returns why its VM was lost, as the shim has logged it */
  async function untilLost(name: string): Promise<string> {
    await machine.untilStatus(name, "STOPPED", SEEN_LIMIT_MS);
    await machine.remove(name);
    assert.deepEqual(await machine.leftovers(), []);
    const line = (await machine.containerd.logTail(400))
      .split("\n")
      .findLast((text) => text.includes("the VM is lost") && text.includes(machine.name(name)));
    assert.ok(line, "the shim has told why");
    return line;
  }

  it("is ended when it hangs", async () => {
    await machine.runDetached("hangs", ["/bin/busybox", "sleep", "600"]);
    process.kill(processesOf(machine.name("hangs")).qemu, "SIGSTOP");
    assert.match(
      await untilLost("hangs"),
      new RegExp(
        `the guest has not answered for ${SILENCE_SECONDS} s .*(end of its console|its console is silent)`,
      ),
    );
  });

  it("shows the end of its console when its kernel panics", async () => {
    await machine.runDetached("panics", ["/bin/busybox", "sleep", "600"], { flags: ["--privileged"] });
    // Its answer never comes.
    await machine.exec("panics", ["/bin/sh", "-c", "echo c > /proc/sysrq-trigger"]);
    assert.match(await untilLost("panics"), /the guest has stopped; end of its console: .*Kernel panic/);
  });

  it("is told apart from one that the host has killed for want of memory", async (t) => {
    await machine.runDetached("starved", ["/bin/busybox", "sleep", "600"]);
    const memory = memoryLimitOf(machine.name("starved"));
    if (memory === undefined) return t.skip("no memory controller here");
    writeFileSync(memory.limitFile, `${memory.usedBytes + (8 << 20)}`);
    await machine.exec("starved", [
      "/bin/busybox",
      "dd",
      "if=/dev/zero",
      "of=/dev/null",
      "bs=96M",
      "count=1",
    ]);
    assert.match(
      await untilLost("starved"),
      /no memory left for the sandbox's control group, and killed: QEMU ended with signal SIGKILL/,
    );
  });
});

/** Where the memory of a sandbox's processes on the host is limited, and what they have now. */
function memoryLimitOf(sandbox: string): { limitFile: string; usedBytes: number } | undefined {
  const name = readdirSync(SANDBOXES).find((directory) => directory.startsWith(sandbox));
  assert.ok(name, `${sandbox} has a directory`);
  const cgroups = readFileSync(join(SANDBOXES, name, "cgroups"), "utf8").split("\n");
  for (const [limit, usage] of [
    ["memory.max", "memory.current"],
    ["memory.limit_in_bytes", "memory.usage_in_bytes"],
  ] as const) {
    const directory = cgroups.find((path) => readdirSync(path).includes(limit));
    if (directory === undefined) continue;
    const usedBytes = Number(readFileSync(join(directory, usage), "utf8"));
    return { limitFile: join(directory, limit), usedBytes };
  }
  return undefined;
}
