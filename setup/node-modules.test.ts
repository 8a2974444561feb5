import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { nodeModulesWith } from "./node-modules.js";

test("a package is found beside the project, or where npm has hoisted it to", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const project = join(folder, "node_modules/kata-fs");
  const place = (parent: string) => {
    mkdirSync(join(parent, "node_modules/native"), { recursive: true });
    writeFileSync(join(parent, "node_modules/native/package.json"), "{}");
  };
  mkdirSync(project, { recursive: true });
  assert.throws(() => nodeModulesWith("native", project), /no native for .*; needed: npm install/);
  place(folder);
  assert.equal(nodeModulesWith("native", project), join(folder, "node_modules"));
  place(project);
  assert.equal(nodeModulesWith("native", project), join(project, "node_modules"));
});
