import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ShimError, StatusCode } from "../error.js";
import { HealthWatch, type HealthWatchOptions } from "./health-watch.js";

/** Makes a watch of a guest that is asked every 5 ms, and ends it with `work`. */
async function watching(
  options: Partial<HealthWatchOptions>,
  work: (watch: HealthWatch) => Promise<void>,
): Promise<void> {
  const watch = new HealthWatch({
    check: async () => {},
    isVmRunning: async () => true,
    silenceMs: 20,
    describeConsole: () => "end of its console: BUG: soft lockup",
    ...options,
  });
  // The watch itself keeps no process alive.
  const alive = setInterval(() => {}, 1000);
  try {
    await work(watch);
  } finally {
    clearInterval(alive);
    watch.stop();
  }
}

const silent = () => Promise.reject(new Error("no answer"));

/** Resolves with "kept" if the guest is not lost before `asked()` has come to `times`. */
async function until(watch: HealthWatch, asked: () => number, times: number): Promise<unknown> {
  const enough = async () => {
    while (asked() < times) await delay(1);
    return "kept";
  };
  return await Promise.race([watch.lost, enough()]);
}

test("a guest that answers is not lost", async () => {
  let asked = 0;
  const check = async () => void asked++;
  await watching({ check }, async (watch) => assert.equal(await until(watch, () => asked, 20), "kept"));
});

test("a guest that has been silent for too long is lost, with the end of its console", async () => {
  await watching({ check: silent }, async (watch) => {
    const reason = await watch.lost;
    assert.ok(reason instanceof ShimError);
    assert.equal(reason.code, StatusCode.UNAVAILABLE);
    assert.equal(
      reason.message,
      "the guest has not answered for 0.02 s (no answer); end of its console: BUG: soft lockup",
    );
  });
});

test("an answer now and then is enough", async () => {
  let asked = 0;
  const check = () => (++asked % 2 === 0 ? Promise.resolve() : silent());
  await watching({ check, silenceMs: 2000 }, async (watch) => {
    assert.equal(await until(watch, () => asked, 4), "kept");
  });
});

test("a machine that somebody has stopped may be silent", async () => {
  let asked = 0;
  const check = () => {
    asked++;
    return silent();
  };
  await watching({ check, isVmRunning: async () => false }, async (watch) => {
    assert.equal(await until(watch, () => asked, 20), "kept");
  });
});

test("nothing is asked any more once the watch has ended", async () => {
  let asked = 0;
  const check = async () => void asked++;
  await watching({ check }, async (watch) => {
    await until(watch, () => asked, 2);
    watch.stop();
    const before = asked;
    await delay(50);
    assert.ok(asked <= before + 1);
  });
});
