import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { containerdSeries, Machine, RUNTIME } from "./machine.js";

const RUNC = "io.containerd.runc.v2";
const MIB = 1024 * 1024;
/** How long events may take from the shim through containerd to its client. */
const EVENT_LIMIT_MS = 10_000;

/** Takes output by the protocol of `binary://` and writes it, marked, to the file that is its first argument. runc's shim sends SIGTERM at once. */
const LOGGER = `#!/bin/sh
trap '' TERM
exec 5>&-
sed 's/^/err: /' <&4 > "$1.err" &
sed "s/^/$CONTAINER_NAMESPACE: /" <&3 > "$1.new"
wait
mv "$1.new" "$1"
`;

/** What `ctr events` prints of the tasks of one container, in order. */
class TaskEvents {
  #text = "";

  private constructor(
    private readonly child: ChildProcess,
    private readonly machine: Machine,
  ) {
    child.stdout?.on("data", (data: Buffer) => {
      this.#text += data.toString();
    });
  }

  static async of(machine: Machine): Promise<TaskEvents> {
    const [file = "", ...args] = machine.containerd.ctrCommand("events");
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
    const events = new TaskEvents(child, machine);
    await once(child, "spawn");
    // ctr says nothing once it listens. Anything that makes an event shows that it does.
    const label = machine.name("label");
    for (let i = 0; events.#text === ""; i++) {
      await machine.ctr(["namespaces", "label", "default", `${label}=${i}`]);
      await delay(50);
    }
    return events;
  }

  /** Topics and, where they have one, exit statuses, once all of `topics` are among them. */
  async until(suffix: string, ...topics: readonly string[]): Promise<string[]> {
    const deadline = performance.now() + EVENT_LIMIT_MS;
    for (;;) {
      const found = this.#text
        .split("\n")
        .filter((line) => line.includes(` /tasks/`) && line.includes(`"${this.machine.name(suffix)}"`))
        .map((line) => {
          const name = / (\/tasks\/\S+)/.exec(line)?.[1] ?? line;
          const status = /"exit_status":(\d+)/.exec(line)?.[1];
          return status === undefined ? name : `${name} ${status}`;
        });
      if (topics.every((topic) => found.includes(topic))) return found;
      assert.ok(performance.now() < deadline, `no ${topics} after ${EVENT_LIMIT_MS} ms: ${found}`);
      await delay(50);
    }
  }

  stop(): void {
    this.child.kill();
  }
}

for (const series of await containerdSeries()) {
  describe(`the task API under containerd ${series}`, () => {
    let machine: Machine;
    let events: TaskEvents;

    before(async () => {
      machine = await Machine.start(series);
      events = await TaskEvents.of(machine);
    });
    after(async () => {
      events?.stop();
      await machine?.stop();
    });

    it("a logging binary gets the output as under runc", async () => {
      const logger = join(machine.disk, "logger");
      await writeFile(logger, LOGGER, { mode: 0o755 });
      for (const [suffix, runtime] of [
        ["log-runc", RUNC],
        ["log-kata", RUNTIME],
      ] as const) {
        const file = join(machine.disk, suffix);
        const flags = ["--log-uri", `binary://${logger}?${file}`];
        const script = "echo one; echo two >&2; echo three";
        await machine.runDetached(suffix, ["/bin/sh", "-c", script], { flags, runtime });
        await machine.untilStatus(suffix, "STOPPED");
        await machine.remove(suffix);
        await untilThere(file);
        assert.equal(await readFile(file, "utf8"), "default: one\ndefault: three\n", suffix);
        assert.equal(await readFile(`${file}.err`, "utf8"), "err: two\n", suffix);
      }
    });

    it("events come as from runc, and in their order: exec, pause, out of memory", async () => {
      const found: string[][] = [];
      for (const [suffix, runtime] of [
        ["events-runc", RUNC],
        ["events-kata", RUNTIME],
      ] as const) {
        const flags = ["--memory-limit", `${32 * MIB}`];
        await machine.runDetached(
          suffix,
          ["/bin/sh", "-c", "until [ -e /go ]; do sleep 0.1; done; exec busybox tail /dev/zero"],
          {
            flags,
            runtime,
          },
        );
        assert.equal((await machine.exec(suffix, ["/bin/sh", "-c", "exit 3"])).status, 3);
        await machine.ctr(["task", "pause", machine.name(suffix)]);
        await machine.ctr(["task", "resume", machine.name(suffix)]);
        await machine.exec(suffix, ["/bin/sh", "-c", "echo > /go"]);
        await machine.untilStatus(suffix, "STOPPED");
        await machine.remove(suffix);
        const list = await events.until(suffix, "/tasks/oom", "/tasks/exit 137");
        found.push(list);
      }
      const [runc = [], kata = []] = found;
      assert.ok(kata.includes("/tasks/exit 137"), kata.join());
      // The kernel may report it several times, before the exit or behind it; a 2.1 with runc shows no deletion.
      const ordered = (list: readonly string[]) =>
        list.filter((event) => event !== "/tasks/oom" && event !== "/tasks/delete");
      assert.ok(kata.includes("/tasks/oom"), kata.join());
      assert.deepEqual(ordered(kata), ordered(runc));
    });
  });
}

async function untilThere(path: string): Promise<void> {
  const deadline = performance.now() + EVENT_LIMIT_MS;
  for (;;) {
    try {
      await readFile(path);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(50);
    }
  }
}
