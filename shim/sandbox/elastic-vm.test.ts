import assert from "node:assert/strict";
import { test } from "node:test";
import { HotPlugMonitor } from "../vm/testing/hot-plug-monitor.js";
import { ElasticVm } from "./elastic-vm.js";

const MIB = 2 ** 20;
const BLOCK_BYTES = 128 * MIB;
const silent = { error() {}, warn() {}, info() {}, debug() {} };
const NONE = { cpus: 0, memoryBytes: 0 };

function vm({ blockBytes = BLOCK_BYTES, needsProbe = false, started = { cpus: 1, memoryMiB: 512 } } = {}) {
  const monitor = new HotPlugMonitor(started.cpus, 4);
  const calls: unknown[] = [];
  const agent = {
    onlineCpus: async (total: number) => void calls.push(["cpus", total]),
    onlineMemory: async () => void calls.push(["memory"]),
    memoryHotplug: async () => ({ blockBytes, needsProbe }),
    probeMemory: async (addresses: readonly number[]) => void calls.push(["probe", ...addresses]),
  };
  const elastic = new ElasticVm({
    ...{ qmp: monitor, agent, started, logger: silent },
    base: { cpus: 1, memoryMiB: 512 },
    largest: { cpus: 4, memoryMiB: 2048 },
    onCpusPlugged: async () => void calls.push(["threads"]),
  });
  return { elastic, monitor, calls };
}

test("containers that what there is suffices for change nothing", async () => {
  const { elastic, monitor } = vm({ started: { cpus: 3, memoryMiB: 1024 } });
  await elastic.require("a", NONE);
  await elastic.require("b", { cpus: 2, memoryBytes: 512 * MIB });
  assert.deepEqual(monitor.commands, []);
});

test("it grows by whole blocks and whole processors, which the guest is told of once they are there", async () => {
  const { elastic, monitor, calls } = vm();
  await elastic.require("a", { cpus: 0.5, memoryBytes: 100 * MIB });
  assert.deepEqual(elastic.size, { cpus: 2, memoryMiB: 640 });
  assert.deepEqual(calls, [["threads"], ["cpus", 2], ["memory"]]);
  await elastic.require("b", { cpus: 0.5, memoryBytes: 28 * MIB });
  assert.deepEqual(elastic.size, { cpus: 2, memoryMiB: 640 });
  assert.deepEqual([...monitor.memory.values()], [128 * MIB]);
});

test("containers that come together each find their part, and no more than the largest", async () => {
  const { elastic } = vm();
  const limits = { cpus: 1, memoryBytes: 512 * MIB };
  await Promise.all(["a", "b", "c", "d"].map((id) => elastic.require(id, limits)));
  assert.deepEqual(elastic.size, { cpus: 4, memoryMiB: 2048 });
});

test("what a container had that is gone is there for the next", async () => {
  const { elastic, monitor } = vm();
  await elastic.require("a", { cpus: 1, memoryBytes: 256 * MIB });
  const count = monitor.commands.length;
  elastic.release("a");
  await elastic.require("b", { cpus: 1, memoryBytes: 256 * MIB });
  assert.equal(monitor.commands.length, count);
});

test("an Update counts in place of what was before", async () => {
  const { elastic } = vm();
  await elastic.require("a", { cpus: 1, memoryBytes: 256 * MIB });
  await elastic.require("a", { cpus: 1, memoryBytes: 384 * MIB });
  assert.equal(elastic.size.memoryMiB, 512 + 384);
});

test("memory is multiplied by no more than its kernel's records have room for", async () => {
  const { elastic, monitor } = vm({ started: { cpus: 1, memoryMiB: 8 }, blockBytes: 4 * MIB });
  await elastic.require("a", { cpus: 0, memoryBytes: 1024 * MIB });
  const sizes = [...monitor.memory.values()].map((bytes) => bytes / MIB);
  assert.deepEqual(sizes, [8 * 48, 512 + 1024 - 8 - 8 * 48]);
});

test("a kernel that has to be told of each block is", async () => {
  const { elastic, calls } = vm({ needsProbe: true });
  await elastic.require("a", { cpus: 0, memoryBytes: 256 * MIB });
  assert.deepEqual(calls, [["probe", 2 ** 32, 2 ** 32 + BLOCK_BYTES], ["memory"]]);
});

test("a kernel that cannot take memory gets none", async () => {
  const { elastic, monitor } = vm({ blockBytes: 0 });
  await elastic.require("a", { cpus: 0, memoryBytes: 256 * MIB });
  assert.deepEqual(monitor.commands, []);
});
