import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { containerdSeries, Machine } from "./machine.js";
import { createTask, TasksClient } from "./tasks-client.js";

/** How long output may take to come, on a busy host. */
const OUTPUT_LIMIT_MS = 30_000;
const COUNT = "trap 'exit 7' TERM; n=0; while :; do echo $n; n=$((n + 1)); sleep 0.1; done";

for (const series of await containerdSeries()) {
  describe(`a container whose containerd ${series} is killed and comes back`, () => {
    let machine: Machine;

    before(async () => {
      machine = await Machine.start(series);
    });
    after(() => machine?.stop());

    it("goes on: its output without a gap, and who waits for its end hears of it", async (t) => {
      const fifo = join(machine.disk, "fifo", "stdout");
      mkdirSync(join(machine.disk, "fifo"));
      execFileSync("mkfifo", [fifo]);
      const lines: number[] = [];
      // A process of its own: the opening of a fifo that nobody writes to would keep this one.
      const reader = spawn("cat", [fifo], { stdio: ["ignore", "pipe", "inherit"] });
      t.after(() => reader.kill());
      createInterface({ input: reader.stdout }).on("line", (line) => lines.push(Number(line)));
      const ended = once(reader, "close");
      /** Resolves when `count` more lines have come. */
      const more = async (count: number) => {
        const wanted = lines.length + count;
        const deadline = performance.now() + OUTPUT_LIMIT_MS;
        while (lines.length < wanted) {
          assert.ok(performance.now() < deadline, `${lines.length} lines, not ${wanted}`);
          await delay(20);
        }
      };

      const name = machine.name("c");
      const tasks = new TasksClient(machine.containerd.address);
      await (await createTask(machine, "c", ["/bin/sh", "-c", COUNT], fifo)).answered;
      await tasks.start(name);
      await more(3);

      await machine.containerd.crash();
      await more(3);
      await machine.containerd.restart();
      assert.equal(await machine.status("c"), "RUNNING");
      const waiting = tasks.wait(name);
      await more(3);

      const { status, stderr } = await machine.ctr(["task", "kill", "--signal", "SIGTERM", name]);
      assert.equal(status, 0, stderr);
      assert.equal(await waiting, 7);
      await machine.remove("c");
      await ended;
      assert.deepEqual(
        lines,
        Array.from(lines, (_, index) => index),
      );
      assert.deepEqual(await machine.leftovers(), []);
    });
  });
}
