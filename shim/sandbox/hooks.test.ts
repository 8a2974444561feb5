import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { ShimError } from "../error.js";
import { attemptHooks, type HookedContainer, runHooks } from "./hooks.js";

describe("hooks", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "hooks-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const script = (text: string, more: object = {}) => ({
    path: "/bin/sh",
    args: ["sh", "-c", text],
    ...more,
  });
  const container = (hooks: object): HookedContainer => ({
    ...{ id: "c1", bundle: "/bundle", pid: 4711 },
    config: { ociVersion: "1.1.0", annotations: { a: "b" }, hooks },
  });
  const written = (name: string) => readFileSync(join(directory, name), "utf8");

  test("run in their order, and are told of the container", async () => {
    const prestart = [
      script(`cat > ${directory}/state; env > ${directory}/env`, { env: ["A=1=2", "PATH=/bin:/usr/bin"] }),
      script(`echo $0 >> ${directory}/order`),
      { path: "/bin/sh", args: ["called-so", "-c", `echo $0 >> ${directory}/order`] },
    ];
    await runHooks(container({ prestart }), "prestart");
    assert.deepEqual(JSON.parse(written("state")), {
      ociVersion: "1.1.0",
      id: "c1",
      status: "creating",
      pid: 4711,
      bundle: "/bundle",
      annotations: { a: "b" },
    });
    assert.match(written("env"), /^A=1=2$/m);
    assert.doesNotMatch(written("env"), /^HOME=/m);
    assert.equal(written("order"), "sh\ncalled-so\n");
    await runHooks(container({ prestart: [script(`sleep 5 & echo $! > ${directory}/pid`)] }), "prestart");
    process.kill(Number(written("pid")));
    await runHooks(container({}), "prestart");
    await runHooks({ ...container({}), config: {} }, "prestart");
  });

  test("that fail say which and why, and the later ones do not run", async () => {
    const createRuntime = [script("echo no bridge >&2; exit 3"), script(`touch ${directory}/later`)];
    await assert.rejects(
      runHooks(container({ createRuntime }), "createRuntime"),
      (error) =>
        error instanceof ShimError &&
        error.message === "hook createRuntime[0] of c1, /bin/sh: exit status 3: no bridge",
    );
    assert.throws(() => written("later"), /ENOENT/);
    for (const [hook, reason] of [
      [{ path: "relative" }, /not an absolute path/],
      [{ path: "/no/such/hook" }, /ENOENT/],
      [script("kill -9 $$"), /SIGKILL/],
      [{ path: "/bin/sh", args: ["sh", "-c", "exec sleep 100"], timeout: 1 }, /not done within 1000 ms/],
    ] as const) {
      await assert.rejects(runHooks(container({ prestart: [hook] }), "prestart"), reason);
    }
  });

  test("that come too late to call anything off are told to the log", async () => {
    const told: unknown[] = [];
    const logger = { warn: (message: string, fields?: object) => void told.push(message, fields) };
    await attemptHooks(container({ poststop: [script("exit 1")] }), "poststop", logger);
    assert.deepEqual(told, [
      "a hook failed",
      { container: "c1", error: "hook poststop[0] of c1, /bin/sh: exit status 1" },
    ]);
  });
});
