import assert from "node:assert/strict";
import { test } from "node:test";
import { formatMebibytes, formatSpan, formatTable } from "./table.js";

test("columns are as wide as their widest value, numbers stand to the right", () => {
  const columns = [{ title: "ID" }, { title: "CPUS", isNumber: true }, { title: "STATE" }];
  assert.equal(
    formatTable(columns, [
      ["a-pod", "2", "running"],
      ["b", "16", "dead"],
    ]),
    "ID     CPUS  STATE\na-pod     2  running\nb        16  dead\n",
  );
  assert.equal(formatTable(columns, []), "ID  CPUS  STATE\n");
});

test("spans are told in their two largest units, memory in MiB", () => {
  const spans = [-5, 0, 59_999, 61_000, 7_500_000, 90_000_000].map(formatSpan);
  assert.deepEqual(spans, ["0s", "0s", "59s", "1m1s", "2h5m", "1d1h"]);
  assert.equal(formatMebibytes(300 * 2 ** 20 + 5), "300M");
});
