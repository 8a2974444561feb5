import assert from "node:assert/strict";
import { test } from "node:test";
import { parseModuleGroups, readModuleGroups } from "./kernel-modules.js";

test("parseModuleGroups takes groups apart at blank lines", () => {
  assert.deepEqual(parseModuleGroups("/a.ko\n/b.ko\n\n/c.ko\n \n/d.ko\n"), [
    ["/a.ko", "/b.ko"],
    ["/c.ko"],
    ["/d.ko"],
  ]);
  // A kernel that has some of them built in: the others keep their places.
  assert.deepEqual(parseModuleGroups("/a.ko\n\n\n/c.ko\n"), [["/a.ko"], [], ["/c.ko"]]);
  assert.deepEqual(parseModuleGroups("\n/b.ko\n\n"), [[], ["/b.ko"], []]);
});

test("a guest without a list has no modules to load", () => {
  assert.deepEqual(readModuleGroups("/nonexistent/modules"), []);
});
