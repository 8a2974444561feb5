import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { listenUnix } from "../../lib/sys/unix-socket.js";
import { project } from "../e2e/machine.js";

// The built kata-fsd, closed in as it is without an option that says otherwise.

const program = join(project, "dist/bin/kata-fsd");
const READY = "Waiting for vhost-user socket connection";
const GRACE_MS = 5000;

class Daemon {
  stderr = "";
  readonly ended: Promise<unknown[]>;
  readonly #child;

  /** @param inherited becomes its descriptor 3 */
  constructor(t: TestContext, args: readonly string[], inherited?: number) {
    this.#child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe", inherited ?? "ignore"] });
    this.ended = once(this.#child, "exit");
    this.#child.stderr?.on("data", (chunk) => {
      this.stderr += chunk;
    });
    t.after(() => this.kill("SIGKILL"));
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async ready(): Promise<void> {
    while (!this.stderr.includes(READY)) {
      assert.equal(this.#child.exitCode, null, this.stderr);
      await delay(20);
    }
  }
}

async function scratch(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "kata-fsd-life-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Processes whose command line has `text` in it. */
function processesWith(text: string): string[] {
  return readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "utf8").includes(text);
    } catch {
      // It has ended meanwhile.
      return false;
    }
  });
}

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  test(`${signal} ends the daemon with status 0; no process and no socket is left`, async (t) => {
    const dir = await scratch(t);
    const sockets = [join(dir, "fs.sock"), join(dir, "metrics.sock")] as const;
    const daemon = new Daemon(t, [
      "--socket-path",
      sockets[0],
      `--metrics-socket=${sockets[1]}`,
      "--shared-dir",
      dir,
    ]);
    await daemon.ready();
    assert.deepEqual(
      sockets.filter((path) => !existsSync(path)),
      [],
    );
    daemon.kill(signal);
    assert.deepEqual(await daemon.ended, [0, null]);
    assert.deepEqual(sockets.filter(existsSync), []);
    const deadline = performance.now() + GRACE_MS;
    while (processesWith(dir).length > 0 && performance.now() < deadline) await delay(20);
    assert.deepEqual(processesWith(dir), []);
  });
}

test("a file in the place of the socket is the daemon's end, not the file's", async (t) => {
  const dir = await scratch(t);
  const path = join(dir, "precious");
  writeFileSync(path, "content");
  const daemon = new Daemon(t, ["--socket-path", path, "--shared-dir", dir]);
  assert.deepEqual(await daemon.ended, [1, null]);
  assert.match(daemon.stderr, /EADDRINUSE/);
  assert.equal(readFileSync(path, "utf8"), "content");
});

const INHERITING: Readonly<Record<string, (dir: string) => readonly string[]>> = {
  "Kata's": (dir) => [
    ...["--syslog", "--cache=auto", `--shared-dir=${dir}`, "--fd=3", "--thread-pool-size=1"],
    "--announce-submounts",
  ],
  "libvirt 9's": (dir) => ["--fd=3", "-o", `source=${dir},xattr`],
};

for (const [whose, argsFor] of Object.entries(INHERITING)) {
  test(`${whose} command line: a socket that was inherited is served, and stays`, async (t) => {
    const dir = await scratch(t);
    const path = join(dir, "fs.sock");
    const listening = listenUnix(path);
    t.after(() => closeSync(listening));
    const daemon = new Daemon(t, argsFor(dir), listening);
    await daemon.ready();
    const connection = connect(path);
    await once(connection, "connect");
    connection.destroy();
    assert.deepEqual(await daemon.ended, [0, null]);
    assert.ok(existsSync(path));
  });
}

test("a command line that cannot be followed is one line and status 2", async (t) => {
  const daemon = new Daemon(t, [
    "--socket-path",
    "/nonexistent/s",
    "--shared-dir",
    "/",
    "--migration-mode=find-paths",
  ]);
  assert.deepEqual(await daemon.ended, [2, null]);
  assert.match(daemon.stderr, /^kata-fsd: --migration-mode is not supported: [^\n]+; see kata-fsd --help\n$/);
});
