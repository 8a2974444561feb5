import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { release } from "node:os";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { parseMountinfo } from "../../setup/run/facts.js";
import { containerdSeries, Machine } from "./machine.js";

/** How long a container is paused: longer than its guest, on a busy host, would stand still by itself. */
const PAUSE_MS = 4000;

for (const series of await containerdSeries()) {
  describe(`a container under containerd ${series}`, () => {
    let machine: Machine;

    before(async () => {
      machine = await Machine.start(series);
    });
    after(() => machine?.stop());

    it("has a kernel of its own, and an overlay over virtio-fs with DAX as its root", async () => {
      const script = "uname -r; hostname; cat /proc/self/mountinfo";
      const { status, stdout, stderr } = await machine.run("root", ["/bin/sh", "-c", script], {
        edit: (spec) => {
          spec.hostname = "its-own-name";
        },
      });
      assert.equal(status, 0, stderr + (await machine.containerd.logTail(30)));
      const [kernel = "", hostname, ...mountinfo] = stdout.toString().split("\n");
      assert.notEqual(kernel, release());
      assert.equal(hostname, "its-own-name");
      const root = parseMountinfo(mountinfo.join("\n")).find(({ point }) => point === "/");
      assert.equal(root?.type, "overlay");
      const lower = root?.options.find((option) => option.startsWith("lowerdir="));
      assert.equal(lower?.split(":").length, 2, `two layers: ${lower}`);
      assert.match(lower ?? "", /shared\/own\/.*\/lower\/0:/, "of the device of what the sandbox owns");
    });

    it("gets its input, and gives its output, errors and exit status", async () => {
      const input = Buffer.alloc(3 * 1024 * 1024, "all of this arrives unchanged\n");
      const script = "md5sum; echo to stderr >&2; exit 42";
      const { status, stdout, stderr } = await machine.run("stdio", ["/bin/sh", "-c", script], { input });
      assert.equal(stdout.toString(), `${createHash("md5").update(input).digest("hex")}  -\n`);
      assert.match(stderr, /^to stderr$/m);
      assert.equal(status, 42);
    });

    it("prints a hundred thousand lines without losing one", async () => {
      const { status, stdout } = await machine.run("lines", ["/bin/busybox", "seq", "0", "99999"]);
      assert.equal(status, 0);
      const expected = Array.from({ length: 100_000 }, (_, index) => `${index}\n`).join("");
      assert.ok(stdout.toString() === expected, `${stdout.length} bytes instead of ${expected.length}`);
    });

    it("runs further processes, takes signals, and is gone when it is removed", async () => {
      await machine.runDetached("life", ["/bin/sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"]);
      assert.equal(await machine.status("life"), "RUNNING");

      const hello = await machine.exec("life", ["/bin/sh", "-c", "cat; exit 5"], Buffer.from("hello"));
      assert.deepEqual([hello.status, hello.stdout.toString()], [5, "hello"]);
      const missing = await machine.exec("life", ["/no/such/command"]);
      assert.notEqual(missing.status, 0);
      assert.match(missing.stderr, /no such file|not found/i);

      const written = await machine.exec("life", ["/bin/sh", "-c", "echo kept > /kept && cat /kept"]);
      assert.equal(written.stdout.toString(), "kept\n");

      const waiting = machine.ctr(["task", "wait", machine.name("life")]).catch(() => undefined);
      const { status } = await machine.ctr(["task", "kill", "--signal", "SIGTERM", machine.name("life")]);
      assert.equal(status, 0);
      await machine.untilStatus("life", "STOPPED");
      await Promise.race([waiting, delay(1000)]);
      const deleted = await machine.ctr(["task", "delete", machine.name("life")]);
      // Newer ctr only warns of the exit status.
      assert.match(`${deleted.stderr} status ${deleted.status}`, /exit code 7|status 7$/);
      await machine.remove("life");
      assert.deepEqual(await machine.leftovers(), []);
    });

    it("stands still while it is paused, and is measured in the guest", async () => {
      const script = "while :; do cat /proc/uptime >> /beats; sleep 0.1; done";
      await machine.runDetached("still", ["/bin/sh", "-c", script]);
      const still = machine.name("still");
      const untilBeats = "until [ $(busybox wc -l < /beats) -gt $0 ]; do sleep 0.1; done; cat /beats";
      const beats = async (more: number) => {
        const { stdout } = await machine.exec("still", ["/bin/sh", "-c", untilBeats, `${more}`]);
        return stdout.toString().trim().split("\n").map(Number.parseFloat);
      };
      const before = await beats(1);
      assert.equal((await machine.ctr(["task", "pause", still])).status, 0);
      assert.equal(await machine.status("still"), "PAUSED");
      assert.match((await machine.exec("still", ["/bin/id"])).stderr, /paused, not running/);
      await delay(PAUSE_MS);
      assert.equal((await machine.ctr(["task", "resume", still])).status, 0);
      assert.equal(await machine.status("still"), "RUNNING");
      const all = await beats(before.length + 2);
      const pauses = all.slice(1).map((beat, index) => beat - (all[index] ?? beat));
      assert.ok(Math.max(...pauses) * 1000 >= PAUSE_MS, `longest pause ${Math.max(...pauses)} s`);

      const metrics = await machine.ctr(["task", "metrics", "--format", "json", still]);
      assert.equal(metrics.status, 0, metrics.stderr);
      const { cpu, memory, pids } = JSON.parse(metrics.stdout.toString());
      assert.ok(Number(pids.current) >= 1, metrics.stdout.toString());
      assert.ok(Number(cpu.usage?.total ?? cpu.usage_usec) > 0);
      assert.ok(Number(memory.usage?.usage ?? memory.usage) > 4096);
      await machine.remove("still");
    });

    it("that cannot run its command says why, and leaves nothing", async () => {
      const { status, stderr } = await machine.run("missing", ["/bin/no-such-command"]);
      assert.notEqual(status, 0);
      assert.match(stderr, /no-such-command.*(no such file|not found)/i);
      assert.deepEqual(await machine.leftovers(), []);
    });
  });
}
