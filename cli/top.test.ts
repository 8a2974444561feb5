import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryInUse } from "./metrics/guest-memory.js";
import { processFigures } from "./metrics/process.js";
import { usageBetween } from "./top.js";

test("processor time counts between two looks, memory at the later", () => {
  const figures = { threads: 1, descriptors: 3, residentBytes: 9, userSeconds: 1, systemSeconds: 0.5 };
  const early = { ...figures, proportionalBytes: 5 };
  const late = { ...figures, proportionalBytes: 7, systemSeconds: 1.5 };
  const usage = usageBetween(
    { atMs: 1000, sandboxes: new Map([["a", [early, undefined]]]) },
    {
      atMs: 5000,
      sandboxes: new Map([
        ["a", [late, late]],
        ["new", [late]],
      ]),
    },
    new Map([["a", 11]]),
  );
  assert.deepEqual(usage, [
    { sandbox: "a", cpuPercent: [25, undefined], memoryBytes: [7, 7], guestMemoryBytes: 11 },
    { sandbox: "new", cpuPercent: [undefined], memoryBytes: [7], guestMemoryBytes: undefined },
  ]);
});

test("what a guest has in use is what it has but what is available", () => {
  const text = 'kata_guest_meminfo{item="mem_total"} 1000\nkata_guest_meminfo{item="mem_available"} 400\n';
  assert.equal(memoryInUse(text), 600);
  assert.equal(memoryInUse(""), undefined);
  assert.equal(memoryInUse(text.replace("400", "2000")), undefined);
});

test("the kernel's figures of this process", () => {
  const figures = processFigures(process.pid);
  assert.ok(figures);
  assert.ok(figures.userSeconds > 0 && figures.threads > 1 && figures.descriptors > 2);
  assert.ok(figures.residentBytes > 1 << 20 && figures.proportionalBytes <= figures.residentBytes);
  assert.equal(processFigures(2 ** 22 + 1), undefined);
});
