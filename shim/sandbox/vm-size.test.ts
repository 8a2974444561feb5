import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import { parseConfiguration } from "../../configs/index.js";
import { largestVmSize, vmSize } from "./vm-size.js";

const BASE = { cpus: 1, memoryMiB: 512 };
const LARGEST = { cpus: 8, memoryMiB: 4096 };
const MIB = 2 ** 20;

test("containers come on top of what each VM has, and parts of processors add up first", () => {
  const half = { cpus: 0.5, memoryBytes: 100 * MIB + 1 };
  assert.deepEqual(vmSize(BASE, LARGEST, []), BASE);
  assert.deepEqual(vmSize(BASE, LARGEST, [half]), { cpus: 2, memoryMiB: 613 });
  assert.deepEqual(vmSize(BASE, LARGEST, [half, half]), { cpus: 2, memoryMiB: 713 });
});

test("no VM is larger than the largest", () => {
  assert.deepEqual(vmSize(BASE, LARGEST, [{ cpus: 100, memoryBytes: 2 ** 50 }]), LARGEST);
});

test("the largest is the configured one, or the host, and never less than the start", () => {
  const { hypervisor } = parseConfiguration(
    "hypervisor: { cpus: 3, maxCpus: 2, memoryMiB: 512, maxMemoryMiB: 2048 }",
    "c",
  );
  assert.deepEqual(largestVmSize(hypervisor), { cpus: 3, memoryMiB: 2048 });
  const host = largestVmSize(parseConfiguration("", "c").hypervisor);
  assert.equal(host.cpus, Math.min(255, availableParallelism()));
  assert.ok(host.memoryMiB >= 1024);
});
