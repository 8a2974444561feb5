import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { processesOf } from "../../bench/memory.js";
import { Machine } from "./machine.js";
import { daemonDevice } from "./sandbox-metrics.js";
import { tarMembers } from "./tar-members.js";

const LINES = 500;
/** What a container may take to get somewhere, under emulation and beside other work. */
const LIMIT_MS = 20_000;

/**
 * Writes line by line to a file that stays open. Only dd has it open: whoever else closes it, for reading or as a child, has the guest write back.
 */
const WRITE = `b=/bin/busybox; $b mkfifo /in; $b dd if=/in of=/open bs=5 2>/dev/null & exec 9>/in
  i=0; while [ $i -lt ${LINES} ]; do echo line >&9; i=$((i + 1)); done; exec $b sleep 600`;
const CONTENT = "line\n".repeat(LINES);

/** The guest gathers writes to what is the sandbox's alone: what must have reached the host, and when. */
describe("what a container writes to its own root file system", () => {
  let machine: Machine;

  before(async () => {
    machine = await Machine.start("2.1");
    await machine.runDetached("writer", ["/bin/sh", "-c", WRITE]);
  });
  after(() => machine?.stop());

  const inContainer = async (script: string) => {
    const { status, stdout, stderr } = await machine.exec("writer", ["/bin/sh", "-c", script]);
    assert.equal(status, 0, stderr);
    return stdout.toString();
  };

  async function untilPrinted(script: string, wanted: string): Promise<void> {
    const deadline = performance.now() + LIMIT_MS;
    for (let printed = ""; printed !== wanted; printed = await inContainer(script)) {
      assert.ok(performance.now() < deadline, `${script} prints ${JSON.stringify(printed)}`);
      await delay(100);
    }
  }

  async function upperDirectory(): Promise<string> {
    const { stdout } = await machine.ctr(["snapshot", "mounts", "/target", machine.name("writer")]);
    const [, upper] = /upperdir=([^, ]+)/.exec(stdout.toString()) ?? [];
    assert.ok(upper);
    return upper;
  }

  it("is gathered until a file is closed", async () => {
    await untilPrinted("/bin/busybox stat -c %s /open 2>/dev/null || true", `${CONTENT.length}\n`);
    const { requests } = await daemonDevice(machine.name("writer"), "kataOwn");
    const writes = requests["FUSE_WRITE"] ?? 0;
    assert.ok(writes < LINES / 5, `${writes} requests for ${LINES} lines`);
  });

  it("carries times that are not behind the host's", async () => {
    const beforeMs = Date.now();
    await inContainer("echo now > /now");
    assert.ok(statSync(join(await upperDirectory(), "now")).mtimeMs >= beforeMs);
  });

  it("is on one device with the layers below it", async () => {
    const devices = await inContainer("/bin/busybox stat -c %d / /bin /bin/busybox /open");
    assert.equal(new Set(devices.trim().split("\n")).size, 1, devices);
  });

  it("is committed from a container that is paused, though the file is open", async () => {
    await inContainer("/bin/busybox dd if=/dev/zero of=/beside bs=4096 count=100 2>/dev/null");
    const paused = await machine.ctr(["task", "pause", machine.name("writer")]);
    assert.equal(paused.status, 0, paused.stderr);
    const { stdout, status, stderr } = await machine.ctr(["snapshot", "diff", machine.name("writer")]);
    assert.equal(status, 0, stderr);
    const members = tarMembers(gunzipSync(stdout));
    assert.ok(members.some(({ name }) => name === "open"));
    assert.equal(readFileSync(join(await upperDirectory(), "open"), "latin1"), CONTENT);
    const resumed = await machine.ctr(["task", "resume", machine.name("writer")]);
    assert.equal(resumed.status, 0, resumed.stderr);
  });

  it("survives the machine's sudden end once it was synced or closed", async () => {
    // The last file is open when the machine ends.
    const script = `cd /; echo closed > closed; echo synced | /bin/busybox dd of=synced conv=fsync 2>/dev/null;
      echo one > all; exec 5>> all; echo two >&5; /bin/busybox sync; echo > /told; /bin/busybox sleep 600`;
    const upper = await upperDirectory();
    const waiting = machine.exec("writer", ["/bin/sh", "-c", script]);
    await untilPrinted("ls /told 2>/dev/null || true", "/told\n");
    process.kill(processesOf(machine.name("writer")).qemu, "SIGKILL");
    await machine.untilStatus("writer", "STOPPED", LIMIT_MS);
    await waiting;
    const read = (name: string) => readFileSync(join(upper, name), "latin1");
    assert.deepEqual(
      { closed: read("closed"), synced: read("synced"), all: read("all") },
      { closed: "closed\n", synced: "synced\n", all: "one\ntwo\n" },
    );
    await machine.remove("writer");
    assert.deepEqual(await machine.leftovers(), []);
  });
});
