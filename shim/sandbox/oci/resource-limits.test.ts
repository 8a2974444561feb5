import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonReader } from "./json-reader.js";
import { containerLimits, sandboxLimits, UNLIMITED } from "./resource-limits.js";

const limits = (resources: unknown) => containerLimits(JsonReader.of(resources, "resources"));
const MIB = 2 ** 20;

test("a quota is so many periods of processor time", () => {
  assert.equal(limits({ cpu: { quota: 150_000, period: 100_000 } }).cpus, 1.5);
  assert.equal(limits({ cpu: { quota: -1, period: 100_000 } }).cpus, 0);
  assert.equal(limits({ cpu: { quota: 1000, period: 0 } }).cpus, 0);
});

test("without a quota the processors that it is bound to count", () => {
  assert.equal(limits({ cpu: { cpus: "0-3,8" } }).cpus, 5);
  assert.equal(limits({ cpu: { cpus: "2" } }).cpus, 1);
  assert.equal(limits({ cpu: { cpus: "0-3", quota: 50_000, period: 100_000 } }).cpus, 0.5);
});

test("a memory limit that no host has is none", () => {
  assert.equal(limits({ memory: { limit: 256 * MIB } }).memoryBytes, 256 * MIB);
  for (const limit of [0, -1, 2 ** 63 - 4096, 2 ** 63])
    assert.equal(limits({ memory: { limit } }).memoryBytes, 0);
  assert.deepEqual(limits({}), UNLIMITED);
});

test("a pod's sums go before what its sandbox's container has", () => {
  const annotations = {
    "io.kubernetes.cri.sandbox-cpu-quota": "250000",
    "io.kubernetes.cri.sandbox-cpu-period": "100000",
    "io.kubernetes.cri.sandbox-memory": `${512 * MIB}`,
  };
  const linux = { resources: { cpu: { quota: 100_000, period: 100_000 }, memory: { limit: MIB } } };
  assert.deepEqual(sandboxLimits({ annotations, linux }), { cpus: 2.5, memoryBytes: 512 * MIB });
  assert.deepEqual(sandboxLimits({ linux }), { cpus: 1, memoryBytes: MIB });
});

test("sums that are no numbers, or say that there is no limit, are none", () => {
  const annotations = {
    "io.kubernetes.cri.sandbox-cpu-quota": "-1",
    "io.kubernetes.cri.sandbox-cpu-period": "100000",
    "io.kubernetes.cri.sandbox-memory": "much",
  };
  assert.deepEqual(sandboxLimits({ annotations }), UNLIMITED);
});
