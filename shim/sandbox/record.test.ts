import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findSandboxes, writeRecord } from "./record.js";

test("sandboxes are found by their directories, whether or not their records can be read", (t) => {
  const state = mkdtempSync(join(tmpdir(), "kata-fs-records-"));
  t.after(() => rmSync(state, { recursive: true }));
  const record = {
    version: 1,
    ...{ id: "pod", namespace: "k8s.io", address: "/run/c.sock", bundle: "/run/b", createdAtMs: 17 },
  } as const;
  for (const name of ["whole", "damaged", "other", "empty", ".node"]) mkdirSync(join(state, name));
  writeRecord(join(state, "whole", "sandbox.json"), record);
  writeFileSync(join(state, "damaged", "sandbox.json"), '{"version":1,');
  writeFileSync(join(state, "other", "sandbox.json"), JSON.stringify({ ...record, version: 2 }));
  writeFileSync(join(state, "file"), "");
  assert.deepEqual(
    findSandboxes(state),
    ["damaged", "empty", "other", "whole"].map((name) => ({
      directory: join(state, name),
      record: name === "whole" ? record : undefined,
    })),
  );
  assert.deepEqual(findSandboxes(join(state, "nothing")), []);
});
