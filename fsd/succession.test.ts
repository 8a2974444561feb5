import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { hasErrno } from "../lib/sys/errno.js";
import { LaunchedProgram, untilDaemon } from "./sandbox/testing/launched.js";
import { connectGuest } from "./testing/connect-guest.js";
import { needsRoot } from "./testing/fixture.js";
import { anyStep, NameModel, type Step } from "./testing/name-model.js";
import { ROOT } from "./testing/test-guest.js";

const READY = "Waiting for vhost-user socket connection";
/** A request is answered within about as long, and then the worker sleeps: it is killed before, in between, and after. */
const MOMENT_MAX_MS = 0.6;
const { KATA_FSD_KILLS = "12" } = process.env;

describe("a worker that is killed", { skip: needsRoot }, () => {
  const program = new LaunchedProgram("fsd/main.ts");
  let count = 0;
  after(() => program.remove());

  async function start(t: TestContext, whileWaiting: () => void, deathsMax = "100000") {
    const directory = join(program.directory, String(count++));
    const shared = join(directory, "shared");
    mkdirSync(shared, { recursive: true });
    const paths = { socket: join(directory, "fs.sock"), metrics: join(directory, "metrics.sock"), shared };
    const args = ["--socket-path", paths.socket, "--shared-dir", shared, "--metrics-socket", paths.metrics];
    const launcher = program.start([...args, "--xattr"], { env: { KATA_FSD_DEATHS_MAX: deathsMax } });
    const closed = once(launcher, "close");
    t.after(async () => {
      launcher.kill("SIGKILL");
      await closed;
    });
    const log = { text: "" };
    launcher.stderr?.setEncoding("utf8").on("data", (chunk) => {
      log.text += chunk;
    });
    while (!log.text.includes(READY) && launcher.exitCode === null) await sleep(10);
    const { guest, frontEnd } = connectGuest(paths.socket, 2, whileWaiting);
    t.after(() => frontEnd.close());
    return { guest, launcher, log, ...paths };
  }

  /** Does the steps; the worker is killed in some. */
  async function killAround(t: TestContext, plan: readonly (readonly [Step, number])[]): Promise<void> {
    let killAtMs = Number.POSITIVE_INFINITY;
    const kill = () => {
      if (performance.now() < killAtMs) return;
      killAtMs = Number.POSITIVE_INFINITY;
      try {
        process.kill(worker, "SIGKILL");
      } catch (error) {
        // The one that was found had been killed in the step before, and had not ended yet.
        if (!hasErrno(error, "ESRCH")) throw error;
      }
    };
    const { guest, launcher, metrics } = await start(t, kill);
    let worker = await untilDaemon(launcher.pid ?? 0);
    const model = new NameModel(guest);
    for (const [step, momentMs] of plan) {
      if (momentMs < MOMENT_MAX_MS) {
        worker = await untilDaemon(launcher.pid ?? 0);
        killAtMs = performance.now() + momentMs;
      }
      // The launcher waits with its words until somebody reads them.
      await sleep(0);
      const { said, due } = model.take(step);
      assert.equal(said, due, JSON.stringify(step));
      killAtMs = Number.POSITIVE_INFINITY;
    }
    for (const [nodeId, lookups] of model.lookups) guest.forget(nodeId, BigInt(lookups));
    guest.getattr(ROOT);
    const [device] = JSON.parse(await text(connect(metrics))).devices;
    assert.equal(device.inodes, 0, "each reference was counted once");
    assert.equal(device.handles, 0);
  }

  it("is not noticed by a guest, whatever it was at: each request is done once, and answered as ever", async (t) => {
    const kills = Number(KATA_FSD_KILLS);
    const moment = fc.double({ min: 0, max: MOMENT_MAX_MS * 8, noNaN: true });
    const plan = fc.sample(fc.tuple(anyStep, moment), kills * 8);
    await killAround(t, plan);
  });

  it("is replaced a few times only, and the last words say why", async (t) => {
    const { launcher, log } = await start(t, () => {}, "2");
    const ended = once(launcher, "exit");
    process.kill(await untilDaemon(launcher.pid ?? 0), "SIGKILL");
    while (!log.text.includes("restart 1")) await sleep(10);
    process.kill(await untilDaemon(launcher.pid ?? 0), "SIGSEGV");
    await ended;
    assert.match(log.text, /ended by SIGKILL; restart 1\n/);
    assert.match(log.text, /ended by SIGSEGV, in native code, 2 times within 10 s: giving up/);
  });
});
