import assert from "node:assert/strict";
import { once } from "node:events";
import { constants, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join, normalize } from "node:path";
import { text } from "node:stream/consumers";
import { after, describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { hasErrno } from "../lib/sys/errno.js";
import { LaunchedProgram, untilDaemon } from "./sandbox/testing/launched.js";
import { connectGuest } from "./testing/connect-guest.js";
import { needsRoot } from "./testing/fixture.js";
import { anyStep, NameModel, type Step } from "./testing/name-model.js";
import { ROOT, type TestGuest } from "./testing/test-guest.js";

const READY = "Waiting for vhost-user socket connection";
/** A request is answered within about as long, and then the worker sleeps: it is killed before, in between, and after. */
const MOMENT_MAX_MS = 0.6;
const { KATA_FSD_KILLS = "12" } = process.env;

describe("a worker that is killed", { skip: needsRoot }, () => {
  const program = new LaunchedProgram("fsd/main.ts");
  let count = 0;
  after(() => program.remove());

  async function start(t: TestContext, whileWaiting: () => void, deathsMax = "100000") {
    const build = join(program.directory, `build-${count}`);
    const directory = join(program.directory, String(count++));
    const shared = join(directory, "shared");
    mkdirSync(shared, { recursive: true });
    const paths = { socket: join(directory, "fs.sock"), metrics: join(directory, "metrics.sock"), shared };
    const args = ["--socket-path", paths.socket, "--shared-dir", shared, "--metrics-socket", paths.metrics];
    const launcher = program.start([...args, "--xattr"], {
      env: { KATA_FSD_DEATHS_MAX: deathsMax, KATA_FSD_BUILD: build },
    });
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
    const logged = async (words: string) => {
      while (!log.text.includes(words)) {
        assert.equal(launcher.exitCode, null, log.text);
        await sleep(5);
      }
    };
    /** Makes a build of the daemon, and has it take the place of the one that serves. */
    const upgrade = (name: string, change: (code: string) => string) => {
      const file = join(program.directory, `${name}.cjs`);
      writeFileSync(file, change(readFileSync(program.bundle, "utf8")));
      writeFileSync(build, `${file}\n`);
      launcher.kill("SIGUSR1");
      return file;
    };
    return { guest, launcher, log, logged, upgrade, ...paths };
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

  it("gives its place to another build between two requests", async (t) => {
    const { guest, launcher, log, logged, upgrade } = await start(t, () => {});
    const file = openFile(guest);
    file.write(0, "before");
    const first = await untilDaemon(launcher.pid ?? 0);
    const build = upgrade("next", (code) => code);
    await logged("took over after");
    const next = await untilDaemon(launcher.pid ?? 0);
    assert.notEqual(next, first);
    assert.equal(programOf(next), build);
    file.write(6, ", after");
    assert.equal(file.read(0, 100), "before, after");
    assert.ok(!log.text.includes("restart"), log.text);

    process.kill(next, "SIGKILL");
    await logged("restart 1");
    assert.equal(file.read(0, 6), "before");
    assert.equal(programOf(await untilDaemon(launcher.pid ?? 0)), program.bundle, "back to the one before");
  });

  for (const [what, change, words] of [
    ["cannot be run", () => "throw new Error('no build')", /Error: no build/],
    [
      "does not know the state",
      (code) => code.replace(/STATE_VERSION = \d+/, "STATE_VERSION = 4711"),
      /the state is of version \d+, and this worker goes on with version 4711 only/,
    ],
  ] as const satisfies readonly [string, (code: string) => string, RegExp][]) {
    it(`does not give its place to a build that ${what}`, async (t) => {
      const { guest, launcher, log, logged, upgrade } = await start(t, () => {});
      const file = openFile(guest);
      const first = await untilDaemon(launcher.pid ?? 0);
      upgrade("wrong", change);
      await logged("did not come up, exit status 1");
      assert.match(log.text, words);
      file.write(0, "text");
      assert.equal(await untilDaemon(launcher.pid ?? 0), first);
      const build = upgrade("right", (code) => code);
      await logged("took over after");
      assert.equal(programOf(await untilDaemon(launcher.pid ?? 0)), build, "the next one may be better");
      assert.equal(file.read(0, 4), "text");
    });
  }
});

/** Which build a worker is of. */
function programOf(pid: number): string {
  return normalize(readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0")[1] ?? "");
}

/** A file that a guest has open. */
function openFile(guest: TestGuest) {
  const { entry, fh } = guest.create(ROOT, "file", constants.O_RDWR, 0o600);
  return {
    write: (offset: number, text: string) => {
      assert.equal(guest.write(entry.nodeId, fh, offset, Buffer.from(text)).error, "");
    },
    read: (offset: number, length: number) => guest.read(entry.nodeId, fh, offset, length).toString(),
  };
}
