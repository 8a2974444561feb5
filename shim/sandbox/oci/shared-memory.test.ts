import assert from "node:assert/strict";
import { statfsSync } from "node:fs";
import { test } from "node:test";
import { sharedMemoryBytes } from "./shared-memory.js";

const MIB = 2 ** 20;
const of = (mount: object) => sharedMemoryBytes({ mounts: [{ destination: "/dev/shm", ...mount }] });

test("shared memory is as large as a container's configuration has it", () => {
  for (const [option, bytes] of [
    ["size=65536k", 64 * MIB],
    ["size=1048576", MIB],
    ["size=2G", 2048 * MIB],
    ["size=50%", 64 * MIB],
    ["mode=1777", 64 * MIB],
  ] as const)
    assert.equal(of({ type: "tmpfs", options: ["nosuid", option] }), bytes, option);
});

test("it is as large as what the host has made for a pod", () => {
  const { blocks, bsize } = statfsSync("/dev/shm");
  assert.equal(of({ type: "bind", source: "/dev/shm" }), blocks * bsize);
  assert.equal(of({ type: "bind", source: "/proc" }), 64 * MIB);
  assert.equal(sharedMemoryBytes({}), 64 * MIB);
});
