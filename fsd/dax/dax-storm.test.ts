import assert from "node:assert/strict";
import { test } from "node:test";
import { daxStorm } from "../testing/dax-storm.js";

// A hundred thousand of them: test/dax/storm.soak.ts.
test("10,000 maps and unmaps in random order do nothing that would end QEMU", (t) => {
  const { outcomes, mostLive } = daxStorm(t, 10_000, 1);
  assert.equal(mostLive, 200, "as many as may be alive at a time");
  for (const outcome of ["map made", "map ENOMEM", "map EINVAL", "map EIO", "unmap made", "reset"]) {
    assert.ok((outcomes.get(outcome) ?? 0) > 0, outcome);
  }
});
