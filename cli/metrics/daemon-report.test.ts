import assert from "node:assert/strict";
import { test } from "node:test";
import { createFsdMetrics, reportDeviceMetrics } from "../../fsd/metrics.js";
import { readDaemonReport } from "./daemon-report.js";

test("what kata-fsd reports is read as it is", () => {
  const metrics = createFsdMetrics();
  metrics.readBytes = 7;
  metrics.daxLiveBytes = 2 ** 40;
  const report = reportDeviceMetrics("kataOwn", 256 << 20, metrics);
  const [device] = readDaemonReport(JSON.stringify({ devices: [report] }));
  const { host: _, ...wanted } = report;
  assert.deepEqual(device, wanted);
});

test("what another version leaves out counts as nothing", () => {
  assert.deepEqual(readDaemonReport("{}"), []);
  const [device] = readDaemonReport('{"devices":[{"tag":"a","requests":{"FUSE_READ":3,"x":null}}]}');
  assert.equal(device?.dax.liveBytes, 0);
  assert.deepEqual(device?.requests, { FUSE_READ: 3, x: 0 });
  assert.throws(() => readDaemonReport(""), SyntaxError);
});
