import assert from "node:assert/strict";
import { test } from "node:test";
import { Opcode } from "./fuse/constants.js";
import { createFsdMetrics, reportDeviceMetrics } from "./metrics.js";

test("the report names requests as the kernel does and leaves out those that never came", () => {
  const metrics = createFsdMetrics();
  metrics.requestsByOpcode[Opcode.READ] = 3;
  metrics.requestsByOpcode[Opcode.SETUPMAPPING] = 1;
  metrics.readBytes = 4096;
  metrics.daxMapsTotal = 2;
  const report = reportDeviceMetrics("kataShared", 1 << 28, metrics);
  assert.deepEqual(report.requests, { FUSE_READ: 3, FUSE_SETUPMAPPING: 1 });
  assert.equal(report.readBytes, 4096);
  assert.equal(report.dax.windowBytes, 1 << 28);
  assert.equal(report.dax.mappedRanges, 2);
  assert.doesNotThrow(() => JSON.stringify(report));
});
