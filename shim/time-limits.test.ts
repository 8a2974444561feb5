import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfiguration } from "../configs/index.js";
import { setTimeLimits, timeLimitMs } from "./time-limits.js";

test("limits are the defaults until a configuration has others", () => {
  assert.equal(timeLimitMs("agentCallSeconds"), 60_000);
  setTimeLimits(parseConfiguration("timeLimits: { agentCallSeconds: 2.5 }", "c").timeLimits);
  assert.equal(timeLimitMs("agentCallSeconds"), 2500);
  assert.equal(timeLimitMs("bootSeconds"), 120_000);
});
