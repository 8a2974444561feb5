import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Machine } from "./machine.js";

/** How long containerd may take to collect what it does not need any more, and to close what it had open. */
const SETTLED_LIMIT_MS = 60_000;

/** What a containerd and its sandboxes have on this host. */
interface HostState {
  /** Processes, mounts, sockets, control groups, directories of sandboxes. */
  readonly sandboxes: readonly string[];
  readonly containerdDescriptors: number;
  /** Below the directories of containerd and of its clients. */
  readonly files: readonly string[];
}

/** Does something, and checks that the host is afterwards as it was before, without a sandbox. */
export async function leavesHostAsItWas(machine: Machine, work: () => Promise<void>): Promise<void> {
  const before = await settled(machine, (state) => state.sandboxes.length === 0);
  assert.deepEqual(before.sandboxes, []);
  await work();
  const after = await settled(
    machine,
    (state) =>
      state.sandboxes.length === 0 &&
      state.containerdDescriptors <= before.containerdDescriptors &&
      state.files.length <= before.files.length,
  );
  assert.deepEqual(after.sandboxes, []);
  assert.deepEqual(
    after.files.filter((file) => !before.files.includes(file)),
    [],
  );
  assert.ok(
    after.containerdDescriptors <= before.containerdDescriptors,
    `containerd has ${after.containerdDescriptors} descriptors, and had ${before.containerdDescriptors}`,
  );
}

/** The state once it is as it should be; if that does not happen in time, as it is. */
async function settled(machine: Machine, isAsItShould: (state: HostState) => boolean): Promise<HostState> {
  const deadline = performance.now() + SETTLED_LIMIT_MS;
  for (;;) {
    const state = {
      sandboxes: await machine.leftovers(),
      containerdDescriptors: readdirSync(`/proc/${machine.containerd.pid}/fd`).length,
      files: [machine.disk, machine.state].flatMap(filesBelow),
    };
    if (isAsItShould(state) || performance.now() > deadline) return state;
    await delay(500);
  }
}

/** Names of everything below a directory. Snapshots are numbered: of each, the number alone is different. */
function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => !/\/snapshots\/\d+(\/|$)/.test(name))
    .map((name) => `${directory}/${name}`);
}
