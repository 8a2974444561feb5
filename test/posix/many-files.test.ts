import assert from "node:assert/strict";
import { test } from "node:test";
import { toolchain } from "../e2e/machine.js";
import { serveManyFiles } from "./many-files.js";

const TREE = 20_000;
const DIRECTORY = 20_000;
const DESCRIPTORS_MAX = 4096;

// With 10⁶ of each, and their memory: npm run soak -- posix.
test("a guest that knows more inodes than kata-fsd may have descriptors", async () => {
  const tools = await toolchain();
  const { output, console, descriptorsMax } = await serveManyFiles(tools, {
    tree: TREE,
    directory: DIRECTORY,
    kernel: tools.kernel,
    timeLimitMs: 120_000,
  });
  const expected = `walk: ${TREE}\nwalk: ${TREE}\nok - entries that stay: ${DIRECTORY}\n`;
  assert.equal(output, expected, console);
  assert.ok(descriptorsMax < DESCRIPTORS_MAX, `${descriptorsMax} descriptors`);
});
