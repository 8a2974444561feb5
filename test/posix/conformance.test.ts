import assert from "node:assert/strict";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { execute, toolchain } from "../e2e/machine.js";
import { surprises } from "./differences.js";
import { MODES } from "./modes.js";
import { runInGuest } from "./run-suite.js";
import { parse } from "./suite/report.js";

// The modes that differ most; npm run test:posix has all of them, with virtiofsd beside them.

test("the host's own file system is as the suite says: the suite is right", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "kata-fs-posix-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  // Some of the suite is done as other users.
  await chmod(directory, 0o755);
  const suite = "test/posix/suite/main.ts";
  const { stdout, stderr } = await execute([process.execPath, "--import", "tsx", suite, directory]);
  const outcomes = parse(stdout.toString());
  assert.ok(outcomes.length > 100, stderr);
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
    options: MODES.auto,
  });
  assert.deepEqual(surprises("kata-fsd", outcomes), []);
});

test("POSIX behaviour in a guest: Linux 7.3, cache=always", async () => {
  const tools = await toolchain();
  const kernel = tools.testing?.kernel["7.3"];
  assert.ok(kernel, "set-up brought no kernel 7.3");
  const outcomes = await runInGuest(tools, { daemon: "kata-fsd", kernel, options: MODES.always });
  assert.deepEqual(surprises("kata-fsd", outcomes), []);
});
