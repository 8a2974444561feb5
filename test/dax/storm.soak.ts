import { randomInt } from "node:crypto";
import { test } from "node:test";
import { daxStorm } from "../../fsd/testing/dax-storm.js";

test("100,000 maps and unmaps in random order do nothing that would end QEMU", (t) => {
  const seed = randomInt(2 ** 31);
  t.diagnostic(`seed ${seed}`);
  for (const [what, count] of daxStorm(t, 100_000, seed).outcomes) t.diagnostic(`${what}: ${count}`);
});
