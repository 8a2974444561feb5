import assert from "node:assert/strict";
import { leavesHostAsItWas } from "./host-state.js";
import type { Machine } from "./machine.js";

/** Runs so many containers, so many at a time, and checks that the host is afterwards as it was before. */
export async function runMany(machine: Machine, count: number, atOnce: number): Promise<void> {
  const runOne = async (index: number) => {
    const { status, stdout, stderr } = await machine.run(`n${index}`, ["/bin/sh", "-c", `echo ${index}`]);
    assert.deepEqual(
      [status, stdout.toString()],
      [0, `${index}\n`],
      stderr + (await machine.containerd.logTail(30)),
    );
  };
  // containerd opens and makes some things once.
  for (let index = 0; index < atOnce; index++) await runOne(index);
  await leavesHostAsItWas(machine, async () => {
    for (let done = 0; done < count; done += atOnce) {
      await Promise.all(
        Array.from({ length: Math.min(atOnce, count - done) }, (_, index) => runOne(done + index)),
      );
    }
  });
}
