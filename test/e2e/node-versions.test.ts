import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { execute, Machine, project, toolchain } from "./machine.js";

/** The programs with each Node.js, as users of later ones have them; the whole suite's results are in docs/node-versions.md. */
for (const [major, node] of Object.entries(
  (await toolchain()).testing?.node ?? assert.fail("no set-up for tests"),
)) {
  describe(`Node.js ${major}`, () => {
    let folder: string;
    before(() => {
      folder = mkdtempSync(join(tmpdir(), "kata-fs-node-"));
    });
    after(() => rmSync(folder, { recursive: true }));

    const env = { ...process.env, KATA_FS_NODE: node };

    it("runs kata-fsd in its sandbox, with no ring of io_uring, to an orderly end", async () => {
      const daemon = spawn(
        join(project, "dist/bin/kata-fsd"),
        ["--socket-path", join(folder, "fs.sock"), "--shared-dir", folder],
        { env, stdio: ["ignore", "ignore", "pipe"] },
      );
      const ended = once(daemon, "close");
      const [line] = await once(createInterface({ input: daemon.stderr }), "line");
      assert.match(line, /Waiting for vhost-user socket connection/);
      const targets = processesOf(node).flatMap(descriptorsOf);
      assert(
        targets.some((target) => target.startsWith("anon_inode:[eventpoll]")),
        "its descriptors are seen",
      );
      assert(!targets.includes("anon_inode:[io_uring]"));
      daemon.kill("SIGTERM");
      assert.deepEqual(await ended, [0, null]);
    });

    it("runs the shim's actions and the command", async () => {
      const version = await execute(
        [join(project, "dist/bin/containerd-shim-kata-fs-v2"), "-v"],
        undefined,
        env,
      );
      assert.match(version.stdout.toString(), new RegExp(`Node\\.js: v${major}\\.`));
      const defaults = await execute(
        [join(project, "dist/bin/kata-fs"), "config", "defaults"],
        undefined,
        env,
      );
      assert.equal(defaults.status, 0, defaults.stderr);
    });

    it("runs a container", async () => {
      const machine = await Machine.start("1.7", {}, { env: { KATA_FS_NODE: node } });
      try {
        const { status, stdout, stderr } = await machine.run("node", ["/bin/cat"], {
          input: Buffer.from("hello"),
        });
        assert.equal(status, 0, stderr);
        assert.equal(stdout.toString(), "hello");
      } finally {
        await machine.stop();
      }
    });
  });
}

/** Processes that run this executable. */
function processesOf(executable: string): readonly string[] {
  return readdirSync("/proc").filter(
    (name) => /^\d+$/.test(name) && linkOf(`/proc/${name}/exe`) === executable,
  );
}

function descriptorsOf(pid: string): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
}

/** Where a link of /proc leads; nowhere when its process has ended. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
