import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { copyModules, dependenciesOf } from "./kernel-modules.js";

function module(...dependencies: string[]): Buffer {
  return Buffer.from(`\x7fELF\0license=GPL\0depends=${dependencies.join(",")}\0name=x\0`, "latin1");
}

test("dependencies come from the .modinfo string", () => {
  assert.deepEqual(dependenciesOf(module("a", "b")), ["a", "b"]);
  assert.deepEqual(dependenciesOf(module()), []);
  assert.deepEqual(dependenciesOf(Buffer.from("\x7fELF\0license=GPL\0", "latin1")), []);
});

test("modules are copied in load order, each once, decompressed", async (context) => {
  const directory = await mkdtemp(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rm(directory, { recursive: true }));
  const source = join(directory, "source");
  const target = join(directory, "target");
  const files = {
    "kernel/net/top.ko": module("middle-part", "base"),
    "kernel/net/middle_part.ko": module("base"),
    "kernel/lib/base.ko": module(),
    "kernel/other/alone.ko.xz": module("base"), // Not really compressed: `cat` takes the place of unxz.
    "kernel/other/unwanted.ko": module(),
  };
  for (const [name, contents] of Object.entries(files)) {
    await mkdir(dirname(join(source, name)), { recursive: true });
    await writeFile(join(source, name), contents);
  }
  const loadOrder = await copyModules(
    source,
    target,
    [
      ["top", "built-in"],
      ["alone", "top"],
    ],
    ["cat"],
  );
  assert.deepEqual(loadOrder, [
    ["kernel/lib/base.ko", "kernel/net/middle_part.ko", "kernel/net/top.ko"],
    ["kernel/other/alone.ko"],
  ]);
  assert.deepEqual(await readFile(join(target, "kernel/other/alone.ko")), module("base"));
});
