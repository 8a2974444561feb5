import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { findProcess, type SandboxProcesses } from "../../bench/memory.js";
import { createClient } from "../../lib/ttrpc/index.js";
import { AgentClient } from "../../shim/sandbox/agent-client.js";
import { AGENT_PORT } from "../../shim/sandbox/guest-boot.js";
import { sandboxLayout } from "../../shim/sandbox/layout.js";
import { NAMESPACE } from "./leftovers.js";
import type { Machine } from "./machine.js";
import { createTask, TasksClient } from "./tasks-client.js";

/** Who is killed. */
export const VICTIMS = ["shim", "kata-fsd", "QEMU", "agent", "containerd"] as const;
export type Victim = (typeof VICTIMS)[number];

/** When. */
export const MOMENTS = [
  "before boot",
  "in boot",
  "created",
  "running",
  "exec",
  "stopping",
  "deleted",
] as const;
export type Moment = (typeof MOMENTS)[number];

/** What is not there at a moment cannot be killed then. */
const ABSENT: Readonly<Partial<Record<Moment, readonly Victim[]>>> = {
  "before boot": ["agent"],
  deleted: ["kata-fsd", "QEMU", "agent"],
};

/** What becomes of a container whose containerd was killed then. */
const WITHOUT_CONTAINERD: Readonly<Record<Moment, string>> = {
  "before boot": "rolled back",
  "in boot": "rolled back",
  created: "goes on",
  running: "goes on",
  exec: "goes on",
  stopping: "ended",
  deleted: "ended",
};

const PROCESSES: Readonly<Partial<Record<Victim, keyof SandboxProcesses>>> = {
  shim: "shim",
  "kata-fsd": "daemon",
  QEMU: "qemu",
};

/** How long containerd may take to see that a container is gone, on a busy host. */
const SEEN_LIMIT_MS = 30_000;
/** How long anything else may take that a moment waits for. */
const REACHED_LIMIT_MS = 60_000;
/** After QEMU's start: its guest's kernel runs, and its agent does not yet, under emulation. */
const IN_BOOT_MS = 1_000;
/**
 * How long a shim may stay that has no task: a containerd 1.6 that was killed during Create keeps it connected, and it ends itself after twice the
 * default of timeLimits.unusedSeconds at the latest.
 */
const UNUSED_LIMIT_MS = 130_000;

/** What containerd logs when `delete` has not answered in time, or not at all. */
const CLEAN_UP_FAILED = /failed to clean ?up|cleanup.*(deadline exceeded|timed out)/i;

export interface Cell {
  readonly victim: Victim;
  readonly moment: Moment;
}

/** All that make sense, by victim. */
export const CELLS: readonly Cell[] = VICTIMS.flatMap((victim) =>
  MOMENTS.filter((moment) => !ABSENT[moment]?.includes(victim)).map((moment) => ({ victim, moment })),
);

/** A container that has been brought to a moment of its life. */
interface Reached {
  /** Commands that are under way, which end once the container does. */
  readonly pending: readonly Promise<unknown>[];
  /** What is true of a container that outlives whoever was killed. */
  readonly goesOn?: () => Promise<void>;
}

/** Kills one process at one moment, and checks what becomes of the container and what is left. Says in a few words what happened. */
export class KillMatrix {
  readonly #results = new Map<string, string>();

  constructor(private readonly machine: Machine) {}

  /** @throws AssertionError */
  async run({ victim, moment }: Cell): Promise<void> {
    this.#results.set(keyOf({ victim, moment }), "FAILED");
    const name = `${victim}-${moment}`.replaceAll(" ", "-").toLowerCase();
    const logLines = (await this.#log()).length;
    const { pending, goesOn } = await this.#reach(moment, victim, name);
    const wasThere = await this.#kill({ victim, moment }, name);
    const killed = performance.now();
    let result: string;
    if (victim === "kata-fsd") {
      // Its launcher starts another one, which goes on.
      await goesOn?.();
      result = moment === "stopping" ? "ended" : "goes on";
    } else if (victim === "containerd") {
      await Promise.all(pending);
      await this.machine.containerd.restart();
      if (WITHOUT_CONTAINERD[moment] !== "rolled back") await goesOn?.();
      result = WITHOUT_CONTAINERD[moment];
    } else {
      await this.#untilSeen(name, pending);
      result = wasThere ? `seen after ${seconds(killed)}` : "had ended";
    }
    const removing = performance.now();
    await this.machine.remove(name);
    assert.deepEqual(await this.machine.leftovers(victim === "containerd" ? UNUSED_LIMIT_MS : undefined), []);
    const log = (await this.#log()).slice(logLines);
    assert.deepEqual(
      log.filter((line) => CLEAN_UP_FAILED.test(line)),
      [],
    );
    this.#results.set(keyOf({ victim, moment }), `${result}, removed in ${seconds(removing)}`);
  }

  /** What has been run, in Markdown. */
  table(): string {
    const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
    return [
      row(["", ...VICTIMS]),
      row(["---", ...VICTIMS.map(() => "---")]),
      ...MOMENTS.map((moment) =>
        row([moment, ...VICTIMS.map((victim) => this.#results.get(keyOf({ victim, moment })) ?? "–")]),
      ),
    ].join("\n");
  }

  async #reach(moment: Moment, victim: Victim, suffix: string): Promise<Reached> {
    const { machine } = this;
    const name = machine.name(suffix);
    switch (moment) {
      case "before boot": {
        const start = this.#begun(victim, suffix);
        await untilThere(name, PROCESSES[victim] ?? "shim");
        return { pending: [start], goesOn: () => start.then(() => this.#works(suffix)) };
      }
      case "in boot": {
        // An agent that can be reached is about to be asked for the container: that may still come to its end.
        if (victim === "agent") return { pending: [machine.runDetached(suffix, SLEEP).catch(() => {})] };
        const start = this.#begun(victim, suffix);
        await untilThere(name, "qemu");
        await delay(IN_BOOT_MS);
        return { pending: [start], goesOn: () => start.then(() => this.#works(suffix)) };
      }
      case "created": {
        await (await createTask(machine, suffix, SLEEP)).answered;
        return {
          pending: [],
          goesOn: async () => {
            assert.equal(await machine.status(suffix), "CREATED");
            await new TasksClient(machine.containerd.address).start(name);
            await this.#works(suffix);
          },
        };
      }
      case "running": {
        await machine.runDetached(suffix, SLEEP);
        return { pending: [], goesOn: () => this.#works(suffix) };
      }
      case "exec": {
        await machine.runDetached(suffix, SLEEP);
        const { ended } = await startExec(machine, name);
        return { pending: [ended], goesOn: () => this.#works(suffix) };
      }
      case "stopping": {
        await machine.runDetached(suffix, SLEEP);
        const { status, stderr } = await machine.ctr(["task", "kill", "--signal", "SIGKILL", name]);
        assert.equal(status, 0, stderr);
        return { pending: [], goesOn: () => machine.untilStatus(suffix, "STOPPED", SEEN_LIMIT_MS) };
      }
      case "deleted": {
        await machine.runDetached(suffix, SLEEP);
        await machine.ctr(["task", "kill", "--signal", "SIGKILL", name]);
        await machine.untilStatus(suffix, "STOPPED", SEEN_LIMIT_MS);
        const pending = [machine.ctr(["task", "delete", name])];
        // ctr has begun by then; whether the shim has ended already is a matter of luck.
        await delay(50);
        return { pending };
      }
    }
  }

  /** A start that will come to its end if who is killed can be replaced, and else will not, whatever it says then. */
  async #begun(victim: Victim, suffix: string): Promise<void> {
    const start = this.machine.runDetached(suffix, SLEEP);
    if (victim === "kata-fsd") await start;
    else await assert.rejects(start);
  }

  /** @returns false if there was nothing to kill any more */
  async #kill({ victim, moment }: Cell, suffix: string): Promise<boolean> {
    const { machine } = this;
    const name = machine.name(suffix);
    if (victim === "containerd") {
      await machine.containerd.crash();
      return true;
    }
    if (victim === "agent") {
      return await endAgent(machine.containerd.address, name, moment !== "in boot");
    }
    const what = PROCESSES[victim];
    const pid = what && findProcess(name, what);
    if (pid === undefined) return false;
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      // It has ended between the look and the signal.
      if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
      throw error;
    }
    return true;
  }

  /** Resolves when containerd knows that the container has ended, and whoever waited for it has been told. */
  async #untilSeen(suffix: string, pending: readonly Promise<unknown>[]): Promise<void> {
    const late = delay(SEEN_LIMIT_MS, "late", { ref: false });
    const outcome = await Promise.race([Promise.all(pending), late]);
    assert.notEqual(outcome, "late", `clients still wait after ${SEEN_LIMIT_MS} ms`);
    const deadline = performance.now() + SEEN_LIMIT_MS;
    for (;;) {
      const status = await this.machine.status(suffix);
      if (status === undefined || status === "STOPPED") return;
      assert.ok(performance.now() < deadline, `${suffix} is ${status} after ${SEEN_LIMIT_MS} ms`);
      await delay(50);
    }
  }

  /** The container runs, takes further processes, and gives their output and exit status. */
  async #works(suffix: string): Promise<void> {
    assert.equal(await this.machine.status(suffix), "RUNNING");
    const { status, stdout, stderr } = await this.machine.exec(suffix, [
      "/bin/sh",
      "-c",
      "echo here; exit 4",
    ]);
    assert.deepEqual([status, stdout.toString()], [4, "here\n"], stderr);
  }

  async #log(): Promise<string[]> {
    return (await this.machine.containerd.logTail(Number.POSITIVE_INFINITY)).split("\n");
  }
}

const SLEEP = ["/bin/busybox", "sleep", "600"];

/** Waits until a sandbox's process has been started. */
export async function untilThere(sandboxId: string, what: keyof SandboxProcesses): Promise<void> {
  const deadline = performance.now() + REACHED_LIMIT_MS;
  while (findProcess(sandboxId, what) === undefined) {
    assert.ok(performance.now() < deadline, `${sandboxId} has no ${what}`);
    await delay(1);
  }
}

/** Starts a process that stays, and waits until it runs. `ended` resolves when its client has ended. */
async function startExec(machine: Machine, name: string): Promise<{ ended: Promise<unknown> }> {
  const words = ["task", "exec", "--exec-id", "stays", name, "/bin/sh", "-c", "echo here; sleep 600"];
  const [file = "", ...args] = machine.containerd.ctrCommand(...words);
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "ignore"] });
  const closed = once(child, "close");
  await once(child.stdout, "data");
  return { ended: closed };
}

/**
 * Has the guest's agent end, behind the shim's back: the guest, whose first process it is, powers off.
 *
 * @param isThere whether the sandbox has a QEMU already
 * @returns false if it had ended
 */
async function endAgent(address: string, id: string, isThere: boolean): Promise<boolean> {
  const { vsockSocket } = sandboxLayout({ address, namespace: NAMESPACE, id });
  const deadline = performance.now() + REACHED_LIMIT_MS;
  for (;;) {
    try {
      const socket = createConnection(vsockSocket);
      socket.write(`CONNECT ${AGENT_PORT}\n`);
      const [answer] = await Promise.race([once(socket, "data"), once(socket, "close")]);
      if (!/^OK \d+\n$/.test(String(answer))) throw new Error("nobody listens");
      const agent = new AgentClient(createClient(socket));
      await agent.destroySandbox();
      agent.close();
      return true;
    } catch (error) {
      if (isThere && findProcess(id, "qemu") === undefined) return false;
      // The guest has not come so far, or is not even there.
      isThere ||= findProcess(id, "qemu") !== undefined;
      if (performance.now() > deadline) throw error;
      await delay(20);
    }
  }
}

function keyOf({ victim, moment }: Cell): string {
  return `${victim} ${moment}`;
}

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}
