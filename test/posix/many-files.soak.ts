import assert from "node:assert/strict";
import { test } from "node:test";
import { toolchain } from "../e2e/machine.js";
import { serveManyFiles } from "./many-files.js";

const MILLION = 1_000_000;
const DESCRIPTORS_MAX = 4096;
const BYTES_PER_INODE_MAX = 300;

test("a guest that knows 10⁶ inodes, and a directory of 10⁶ entries that changes while it is read", async (t) => {
  const tools = await toolchain();
  const outcome = await serveManyFiles(tools, {
    tree: MILLION,
    directory: MILLION,
    kernel: tools.kernel,
    timeLimitMs: 1_200_000,
  });
  const expected = `walk: ${MILLION}\nwalk: ${MILLION}\nok - entries that stay: ${MILLION}\n`;
  assert.equal(outcome.output, expected, outcome.console);
  assert.ok(outcome.descriptorsMax < DESCRIPTORS_MAX, `${outcome.descriptorsMax} descriptors`);
  const bytesPerInode = (outcome.residentBytesMax - outcome.residentBytesBefore) / MILLION;
  t.diagnostic(`${outcome.descriptorsMax} descriptors, ${bytesPerInode.toFixed(0)} bytes for each inode`);
  assert.ok(bytesPerInode < BYTES_PER_INODE_MAX, `${bytesPerInode} bytes for each inode`);
});
