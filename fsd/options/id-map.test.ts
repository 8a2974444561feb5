import assert from "node:assert/strict";
import { test } from "node:test";
import { FORBIDDEN_ID } from "../passthrough/id-map.js";
import { OptionsError } from "./error.js";
import { parseIdMap } from "./id-map.js";

test("rules of --translate-uid", () => {
  // The example of virtiofsd's manual: everything belongs to 1001 on the host, and to 1000 in the guest.
  const squashed = parseIdMap("translate-uid", ["squash-guest:0:1001:4294967295", "host:1001:1000:1"]);
  assert.equal(squashed.toHost(0), 1001);
  assert.equal(squashed.toHost(4294967294), 1001);
  assert.equal(squashed.toGuest(1001), 1000);
  assert.equal(squashed.toGuest(1002), 1002);

  const map = parseIdMap("translate-uid", [
    "map:0:100000:1000",
    "guest:2000:7:2",
    "squash-host:50:65534:50",
    "forbid-guest:3000:1",
  ]);
  assert.deepEqual(
    [0, 999, 1000, 2001, 3000].map((id) => map.toHost(id)),
    [100000, 100999, 1000, 8, FORBIDDEN_ID],
  );
  assert.deepEqual(
    [100999, 7, 50, 99].map((id) => map.toGuest(id)),
    [999, 7, 65534, 65534],
  );
});

test("what is no rule, or does not fit the others, is refused", () => {
  const wrong: string[][] = [
    [""],
    ["guest"],
    ["guest:0:0"],
    ["guest:0:0:1:1"],
    ["forbid-guest:0:1:1"],
    ["shift:0:0:1"],
    ["guest:0:0:0"],
    ["guest:-1:0:1"],
    ["guest:0x1:0:1"],
    ["guest:1:0:4294967295"],
    ["map:0:0:10", "guest:9:0:1"],
    ["map:0:0:10", "host:9:0:1"],
  ];
  for (const rules of wrong) {
    assert.throws(
      () => parseIdMap("translate-gid", rules),
      (error) => error instanceof OptionsError && error.message.startsWith("--translate-gid"),
      rules.join(),
    );
  }
});
