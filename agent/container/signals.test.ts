import assert from "node:assert/strict";
import { test } from "node:test";
import { handlesSignal, isCaught, SIGKILL, SIGTERM } from "./signals.js";

test("isCaught reads the mask of handled signals", () => {
  const status = "Name:\tsh\nSigIgn:\t0000000000004000\nSigCgt:\t0000000180004002\n";
  assert.equal(isCaught(status, 2), true);
  assert.equal(isCaught(status, SIGTERM), true);
  assert.equal(isCaught(status, SIGKILL), false);
  assert.equal(isCaught(status, 34), false);
  assert.equal(isCaught("Name:\tsh\n", SIGTERM), false);
});

test("handlesSignal knows this very process", () => {
  const handler = () => {};
  process.on("SIGUSR2", handler);
  assert.equal(handlesSignal(process.pid, 12), true);
  process.off("SIGUSR2", handler);
});

test("a process that is gone handles nothing", () => {
  assert.equal(handlesSignal(2 ** 22 + 1, SIGTERM), false);
});
