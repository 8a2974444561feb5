import assert from "node:assert/strict";
import { test } from "node:test";
import { toolchain } from "../e2e/machine.js";
import { surprises } from "./differences.js";
import { MODES } from "./modes.js";
import { runInGuest, runOnHost } from "./run-suite.js";

// The modes that differ most; npm run test:posix has all of them, with virtiofsd beside them.

test("the host's own file system is as the suite says: the suite is right", async () => {
  const outcomes = await runOnHost();
  assert.deepEqual(
    outcomes.filter(({ result }) => result !== "ok"),
    [],
  );
});

test("POSIX behaviour in a guest: Linux 6.12, cache=auto", async () => {
  const tools = await toolchain();
  const outcomes = await runInGuest(tools, {
    daemon: "kata-fsd",
    kernel: tools.kernel,
    ...MODES.auto,
  });
  assert.deepEqual(surprises({ daemon: "kata-fsd", mode: "auto", release: "6.12" }, outcomes), []);
});

test("POSIX behaviour in a guest: Linux 7.3, cache=always", async () => {
  const tools = await toolchain();
  const kernel = tools.testing?.kernel["7.3"];
  assert.ok(kernel, "set-up brought no kernel 7.3");
  const outcomes = await runInGuest(tools, {
    daemon: "kata-fsd",
    kernel,
    ...MODES.always,
  });
  assert.deepEqual(surprises({ daemon: "kata-fsd", mode: "always", release: "7.3" }, outcomes), []);
});
