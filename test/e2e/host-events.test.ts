import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { findProcess } from "../../bench/memory.js";
import { type Changes, Machine, project, toolchain } from "./machine.js";
import { guestWith } from "./newer-guest.js";

/** What docs/caching.md promises of shared exports, and a little. */
const BOUND_MS = 1100;
/** How long nothing must have happened in a directory until it is quiet, and a little. */
const QUIET_MS = 10_500;
/** What a container may take to tell of something, under emulation and beside other work. */
const LIMIT_MS = 20_000;

/** Of the guest. */
const KERNELS: Readonly<Record<string, Changes>> = {
  "6.12": {},
  "7.3": (disk) => guestWith("7.3", disk),
};

/**
 * A program in a container waits with inotify(7), as those do that read configuration from mounted directories. The container writes down what it is
 * told, and what it reads in that moment.
 */
for (const [kernel, changes] of Object.entries(KERNELS)) {
  describe(`a program in a container that waits for changes of the host, Linux ${kernel}`, () => {
    let machine: Machine;
    let volume: string;
    /** Where nobody waits. */
    let quiet: string;

    before(async () => {
      machine = await Machine.start("1.7", changes);
      volume = join(machine.disk, "volume");
      mkdirSync(join(volume, "..1"), { recursive: true });
      writeFileSync(join(volume, "..1", "key"), "old\n");
      symlinkSync("..1", join(volume, "..data"));
      symlinkSync("..data/key", join(volume, "key"));
      writeFileSync(join(volume, "plain"), "old\n");
      quiet = join(machine.disk, "quiet");
      mkdirSync(join(quiet, "old"), { recursive: true });
      symlinkSync("old", join(quiet, "link"));
      for (const name of ["written", "replaced", "removed"]) writeFileSync(join(quiet, name), "old\n");
      const mount = (source: string, target: string) =>
        ["--mount", `type=bind,src=${source},dst=${target},options=rbind:ro`] as const;
      const { guestRoot } = await toolchain();
      const flags = [
        ...mount(volume, "/config"),
        ...mount(quiet, "/quiet"),
        ...mount(join(guestRoot, "usr/lib/kata-fs"), "/kata"),
        ...mount(join(project, "test/e2e"), "/test"),
      ];
      const node = ["/kata/node/ld.so", "--library-path", "/kata/node/lib", "/kata/node/node"];
      const watched = ["/config", "/config/key", "/config/plain"];
      await machine.runDetached("watcher", [...node, "/test/inotify-watcher.cjs", "/events", ...watched], {
        flags,
      });
      await told("waiting");
    });
    after(async () => {
      await machine?.remove("watcher");
      await machine?.stop();
    });

    const inContainer = async (script: string) =>
      (await machine.exec("watcher", ["/bin/sh", "-c", script])).stdout.toString();

    /** Waits until the container has written down `wanted`. */
    async function told(...wanted: readonly string[]): Promise<string[]> {
      let lines: string[] = [];
      await until(wanted.join(", "), async () => {
        lines = (await inContainer("cat /events")).trimEnd().split("\n");
        return wanted.every((line) => lines.some((found) => found.startsWith(line)));
      }).catch(async (error: unknown) => {
        throw new Error(`told were ${JSON.stringify(lines)}\n${await machine.containerd.logTail(40)}`, {
          cause: error,
        });
      });
      return lines;
    }

    it("is in a guest of that kernel", async () => {
      const release = await inContainer("/bin/busybox uname -r");
      assert.ok(release.startsWith(`${kernel}.`), release);
    });

    it("is woken when a config map is published, and reads what is new", async () => {
      mkdirSync(join(volume, "..2"));
      writeFileSync(join(volume, "..2", "key"), "new\n");
      symlinkSync("..2", join(volume, "..data_tmp"));
      renameSync(join(volume, "..data_tmp"), join(volume, "..data"));
      rmSync(join(volume, "..1"), { recursive: true });
      await told(
        "CREATE /config ..2:",
        "MOVED_FROM /config ..data_tmp:",
        "MOVED_TO /config ..data: new old",
        "DELETE /config ..1:",
        // That watch is on the file that the links led to, which is gone.
        "DELETE_SELF /config/key :",
      );
    });

    it("is woken when a file is written to, and reads what is new", async () => {
      writeFileSync(join(volume, "plain"), "newer\n");
      await told("MODIFY /config plain: new newer", "CLOSE_WRITE /config plain: new newer");
      await told("MODIFY /config/plain : new newer");
    });

    it("is woken by whatever else happens to a file", async () => {
      writeFileSync(join(volume, "made"), "");
      await told("CREATE /config made:");
      chmodSync(join(volume, "made"), 0o600);
      await told("ATTRIB /config made:");
      renameSync(join(volume, "made"), join(volume, "moved"));
      await told("MOVED_FROM /config made:", "MOVED_TO /config moved:");
      unlinkSync(join(volume, "moved"));
      await told("DELETE /config moved:");
    });

    it("sees a second later what the host has changed where nobody waits", async () => {
      const look = () => inContainer("cd /quiet; ls; cat written replaced removed; readlink link");
      assert.equal(
        await look(),
        ["link", "old", "removed", "replaced", "written", "old", "old", "old", "old", ""].join("\n"),
      );
      writeFileSync(join(quiet, "written"), "new\n");
      writeFileSync(join(quiet, "tmp"), "new\n");
      renameSync(join(quiet, "tmp"), join(quiet, "replaced"));
      rmSync(join(quiet, "removed"));
      symlinkSync("new", join(quiet, "tmp"));
      renameSync(join(quiet, "tmp"), join(quiet, "link"));
      mkdirSync(join(quiet, "added"));
      await delay(BOUND_MS);
      assert.equal(
        await look(),
        ["added", "link", "old", "replaced", "written", "new", "new", "new", ""].join("\n"),
      );
    });

    it("does not ask again in a directory that is quiet, and yet sees what changes in it", async () => {
      const look = () => inContainer("ls /quiet; cat /quiet/replaced /quiet/link");
      writeFileSync(join(quiet, "new"), "old\n");
      await delay(QUIET_MS);
      const before = await look();
      const asked = await lookups();
      await delay(BOUND_MS);
      assert.equal(await look(), before);
      assert.equal(await lookups(), asked);

      writeFileSync(join(quiet, "tmp"), "newer\n");
      renameSync(join(quiet, "tmp"), join(quiet, "replaced"));
      rmSync(join(quiet, "written"));
      await delay(BOUND_MS);
      assert.equal(await look(), ["added", "link", "new", "old", "replaced", "newer", "old", ""].join("\n"));
    });

    /** How many names the guest has asked for, in the sandbox's share. */
    async function lookups(): Promise<number> {
      const [sandbox] = readdirSync("/run/kata-fs").filter((name) => name.startsWith(machine.id));
      let text = "";
      for await (const part of createConnection(`/run/kata-fs/${sandbox}/metrics.sock`)) text += part;
      const { devices } = JSON.parse(text);
      return devices.find(({ tag }: { tag: string }) => tag === "kataShared").requests.FUSE_LOOKUP;
    }

    it("is woken by what the host changes after kata-fsd's worker was killed", async () => {
      const worker = findProcess(machine.name("watcher"), "daemon");
      assert.ok(worker);
      process.kill(worker, "SIGKILL");
      let changes = 0;
      // What changes before the next worker is followed is not told.
      await until("a change was told", async () => {
        writeFileSync(join(volume, "later"), `${++changes}\n`);
        return (await inContainer("cat /events")).includes("/config later:");
      });
      rmSync(join(volume, "later"));
    });

    it("has left everything on the host as the host has made it", () => {
      assert.deepEqual(readdirSync(volume).sort(), ["..2", "..data", "key", "plain"]);
    });
  });
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, `${what}: not within ${LIMIT_MS} ms`);
    await delay(200);
  }
}
