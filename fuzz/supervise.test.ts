import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FlightRecorder } from "./flight-recorder.js";
import { superviseFuzzing } from "./supervise.js";

test("the last input is known to whoever has the same file", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-fuzz-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const [writer, reader] = [
    new FlightRecorder(join(directory, "r")),
    new FlightRecorder(join(directory, "r")),
  ];
  writer.record(Uint8Array.of(1, 2, 3));
  writer.record(Uint8Array.of(4));
  assert.equal(reader.count, 2);
  assert.deepEqual([...reader.input], [4]);
});

test("a worker that does not survive is a failure", async () => {
  const order = { target: "none such", inputs: 1, seed: 1, isGuided: false };
  const { failure } = await superviseFuzzing(order);
  assert.match(failure?.error ?? "", /ended with status 1/);
});
