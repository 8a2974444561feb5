import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loadSeeds } from "./corpus.js";
import { superviseFuzzing } from "./supervise.js";
import { targetNames } from "./targets/index.js";

/** The same inputs each time, so that a change that breaks something is seen by whoever makes it. */
const FIXED = { seed: 20260, inputs: 10_000 };
/** Other inputs each time. */
const RANDOM_INPUTS = 3_000;

describe("fuzzing, a short run", () => {
  for (const target of targetNames) {
    it(`of ${target}`, async (t) => {
      assert.ok(loadSeeds(target).length > 10, "the kept inputs are there");
      const random = { seed: Math.floor(Math.random() * 2 ** 32), inputs: RANDOM_INPUTS };
      t.diagnostic(`random seed ${random.seed}`);
      for (const run of [FIXED, random]) {
        const { failure, inputs } = await superviseFuzzing({ target, ...run, isGuided: false });
        const replay = `echo "${target} ${failure?.input}" > f && npm run fuzz -- --replay f`;
        assert.equal(failure, undefined, `${failure?.error}\nAgain: ${replay}`);
        assert.ok(inputs >= run.inputs);
      }
    });
  }
});
