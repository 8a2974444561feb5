import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Reaper } from "./reaper.js";
import { type ExitedChild, exitCodeOf } from "./sys/wait.js";

function createReaper() {
  const ended: ExitedChild[] = [];
  return { ended, reaper: new Reaper(() => ended.shift()) };
}

describe("Reaper", () => {
  test("hands each exit to who waits for it", async () => {
    const { reaper, ended } = createReaper();
    const first = reaper.exitOf(10);
    const second = reaper.exitOf(11);
    ended.push({ pid: 11, exitCode: 3 }, { pid: 99, exitCode: 0 }, { pid: 10, exitCode: 137 });
    reaper.reap();
    assert.equal(await first, 137);
    assert.equal(await second, 3);
  });

  test("keeps an exit that came before its process id was known", async () => {
    const { reaper, ended } = createReaper();
    const exitCode = await reaper.launch(async () => {
      ended.push({ pid: 10, exitCode: 1 });
      reaper.reap();
      return reaper.exitOf(10);
    });
    assert.equal(exitCode, 1);
  });

  test("forgets the exits of orphans, whose ids come again", async () => {
    const { reaper, ended } = createReaper();
    await reaper.launch(async () => {
      ended.push({ pid: 10, exitCode: 1 });
      reaper.reap();
    });
    const exit = reaper.exitOf(10);
    ended.push({ pid: 10, exitCode: 2 });
    reaper.reap();
    assert.equal(await exit, 2);
  });
});

describe("exitCodeOf", () => {
  test("counts as shells do", () => {
    assert.equal(exitCodeOf(0), 0);
    assert.equal(exitCodeOf(3 << 8), 3);
    assert.equal(exitCodeOf(9), 137);
    // Bit 7 tells of a core dump.
    assert.equal(exitCodeOf(0x80 | 11), 139);
  });
});
