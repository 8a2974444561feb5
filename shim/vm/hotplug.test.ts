import assert from "node:assert/strict";
import { test } from "node:test";
import { plugCpus, plugMemory, vcpuThreads } from "./hotplug.js";
import { HotPlugMonitor } from "./testing/hot-plug-monitor.js";

test("processors go to the first free places", async () => {
  const monitor = new HotPlugMonitor(1, 4);
  await plugCpus(monitor, 2);
  assert.deepEqual(
    monitor.commands.map(([command, args]) => [command, args["id"], args["driver"], args["socket-id"]]),
    [
      ["device_add", "cpu-1", "max-x86_64-cpu", 1],
      ["device_add", "cpu-2", "max-x86_64-cpu", 2],
    ],
  );
  assert.deepEqual(await vcpuThreads(monitor), [100, 101, 102]);
});

test("more processors than there are places are refused as a whole", async () => {
  const monitor = new HotPlugMonitor(1, 2);
  await assert.rejects(plugCpus(monitor, 2), /2 processors to plug, and places for 1/);
  assert.deepEqual(monitor.commands, []);
});

test("each memory module has a shared file of its own, behind the one before", async () => {
  const monitor = new HotPlugMonitor(1, 1);
  const bytes = 128 * 2 ** 20;
  assert.deepEqual(await plugMemory(monitor, 128), { address: 2 ** 32, sizeBytes: bytes });
  assert.deepEqual(await plugMemory(monitor, 256), { address: 2 ** 32 + bytes, sizeBytes: 2 * bytes });
  const objects = monitor.commands.filter(([command]) => command === "object-add").map(([, args]) => args);
  assert.deepEqual(
    objects.map((object) => [object["qom-type"], object["id"], object["share"]]),
    [
      ["memory-backend-memfd", "mem0", true],
      ["memory-backend-memfd", "mem1", true],
    ],
  );
});

test("memory that finds no place is given back", async () => {
  const monitor = new HotPlugMonitor(1, 1, 0);
  await assert.rejects(plugMemory(monitor, 128), /no slots available/);
  assert.equal(monitor.memory.size, 0);
});
