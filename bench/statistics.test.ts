import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { median, summarise } from "./statistics.js";

describe("median", () => {
  it("is the middle, or between the two in the middle", () => {
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(median([4, 1, 10, 2]), 3);
    assert.throws(() => median([]), RangeError);
  });
});

describe("summarise", () => {
  it("gives median, extremes and count", () => {
    assert.deepEqual(summarise([3, 1, 2]), { median: 2, min: 1, max: 3, runs: 3 });
  });
});
