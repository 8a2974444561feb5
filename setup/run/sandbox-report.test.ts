import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSandboxReport } from "./sandbox-report.js";

function report(): Record<string, unknown> {
  return {
    version: 1,
    accelerator: "tcg",
    qemu: "11.1.3",
    phasesMs: { shimStart: 80, daemon: 90, qemu: 200, kernelToAgent: 5000, containerStart: 400, total: 5800 },
    daemon: {
      devices: [
        { tag: "kataGuest", readBytes: 1, dax: { mappedRanges: 2, mappedBytes: 3 } },
        { tag: "kataOwn", readBytes: 4, dax: { mappedRanges: 5, mappedBytes: 6 } },
      ],
    },
  };
}

test("takes the counters of the share, not those of the guest's root", () => {
  assert.deepEqual(parseSandboxReport(report()).share, { readBytes: 4, mappedRanges: 5, mappedBytes: 6 });
});

test("names what is missing or of another type", () => {
  assert.throws(() => parseSandboxReport(null), /report is not an object/);
  assert.throws(
    () => parseSandboxReport({ ...report(), accelerator: 1 }),
    /report\.accelerator is not a string/,
  );
  assert.throws(
    () => parseSandboxReport({ ...report(), phasesMs: {} }),
    /report\.phasesMs\.shimStart is not a number/,
  );
  assert.throws(() => parseSandboxReport({ ...report(), daemon: { devices: {} } }), /devices is not a list/);
  assert.throws(
    () => parseSandboxReport({ ...report(), daemon: { devices: [] } }),
    /no device with the tag kataOwn/,
  );
});
