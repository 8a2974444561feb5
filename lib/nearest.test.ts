import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { editDistance, nearest } from "./nearest.js";

test("edit distances that are known", () => {
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("CPUs", "cpus"), 0);
});

test("a distance is symmetric and bounded by the longer word", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      const distance = editDistance(a, b);
      assert.equal(distance, editDistance(b, a));
      assert(distance <= Math.max(a.toLowerCase().length, b.toLowerCase().length));
    }),
  );
});

test("the nearest word", () => {
  assert.equal(nearest("memory", ["cpus", "memoryMiB", "kernel"]), "memoryMiB");
  assert.equal(nearest("anything", []), undefined);
});
