import assert from "node:assert/strict";
import { copyFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { findProcess } from "../../bench/memory.js";
import { execute, Machine, project } from "./machine.js";

/** Another number of kills takes as many times the pause between two: KATA_FS_KILLS=300. */
const { KATA_FS_KILLS = "4" } = process.env;
/** The daemon's launcher gives up at five within ten seconds. */
const PAUSE_MS = 2_600;
const LIMIT_MS = 60_000;

/**
 * Appends numbered lines, each on the disk before the next, and does beside each what must not be done twice. Ends with the number of lines, once
 * /stop is there; or with what went wrong in /failed.
 */
const WRITE = `b=/bin/busybox; i=0; cd /
  append() { echo $i | $b dd of=lines oflag=append conv=notrunc,fsync; }
  note() { echo $i > progress.new; }
  must() { said=$("$@" 2>&1) || { echo "$i: $*: $said" > failed; exec $b sleep 600; }; }
  while [ ! -e stop ]; do
    i=$((i + 1)); must append; must $b mkdir d; must $b mv d e; must $b rmdir e; must $b cmp sample copy
    must note; must $b mv progress.new progress
  done; echo wrote $i > result; exec $b sleep 600`;

describe("a container whose kata-fsd is killed under it, again and again", () => {
  let machine: Machine;

  before(async () => {
    machine = await Machine.start("2.1");
  });
  after(() => machine?.stop());

  const inContainer = async (script: string) => {
    const unlessFailed = `[ ! -e /failed ] || { /bin/busybox cat /failed >&2; exit 1; }; ${script}`;
    const { status, stdout, stderr } = await machine.exec("writer", ["/bin/sh", "-c", unlessFailed]);
    assert.equal(status, 0, stderr);
    return stdout.toString().trim();
  };

  async function untilPrinted(script: string, isIt: (text: string) => boolean): Promise<string> {
    const deadline = performance.now() + LIMIT_MS;
    for (;;) {
      const text = await inContainer(script);
      if (isIt(text)) return text;
      assert.ok(performance.now() < deadline, `${script} prints ${text}`);
      await delay(200);
    }
  }

  const kataFs = async (...words: readonly string[]) => {
    const { stdout } = await execute([join(project, "dist/bin/kata-fs"), ...words], Buffer.alloc(0));
    return JSON.parse(stdout.toString());
  };

  it("loses nothing, does nothing twice, and sees no error", async () => {
    const setUp = "b=/bin/busybox; cd /; echo content > sample; $b cp sample copy; ";
    await machine.runDetached("writer", ["/bin/sh", "-c", setUp + WRITE]);
    await untilPrinted("/bin/busybox cat /progress 2>/dev/null || true", (text) => Number(text) > 0);
    const killed = new Set<number>();
    for (let kill = 0; kill < Number(KATA_FS_KILLS); kill++) {
      const before = Number(await inContainer("/bin/busybox cat /progress"));
      const pid = findProcess(machine.name("writer"), "daemon");
      assert.ok(pid);
      killed.add(pid);
      process.kill(pid, "SIGKILL");
      const pause = delay(PAUSE_MS);
      await untilPrinted("/bin/busybox cat /progress", (text) => Number(text) > before);
      await pause;
    }
    assert.equal(killed.size, Number(KATA_FS_KILLS), "each time it was another one");
    const id = machine.name("writer");
    const listed = (await kataFs("list", "--json")).find((sandbox: { id?: string }) => sandbox.id === id);
    assert.equal(listed.daemon.restarts, Number(KATA_FS_KILLS));

    const before = Number(await inContainer("/bin/busybox cat /progress"));
    const build = join(machine.disk, "fsd.cjs");
    copyFileSync(join(project, "dist/fsd.cjs"), build);
    symlinkSync(join(project, "node_modules"), join(machine.disk, "node_modules"));
    const [upgrade] = await kataFs("upgrade-fsd", id, "--build", build, "--json");
    assert.equal(upgrade.problem, undefined);
    console.log(`kata-fsd was upgraded with a pause of ${upgrade.pauseMs} ms`);
    await untilPrinted("/bin/busybox cat /progress", (text) => Number(text) > before);

    await inContainer(": > /stop");
    const result = await untilPrinted("/bin/busybox cat /result 2>/dev/null || true", (text) => text !== "");
    const count = Number(/^wrote (\d+)$/.exec(result)?.[1]);
    const lines = (await inContainer("/bin/busybox cat /lines")).split("\n").map(Number);
    assert.deepEqual(
      lines,
      Array.from({ length: count }, (_, index) => index + 1),
    );
    await machine.remove("writer");
    assert.deepEqual(await machine.leftovers(), []);
  });
});
