import assert from "node:assert/strict";
import { test } from "node:test";
import { UndoStack } from "./undo-stack.js";

test("undoes the last step first, and each once", async () => {
  const stack = new UndoStack();
  const undone: string[] = [];
  stack.add("first", () => void undone.push("first"));
  stack.add("second", async () => {
    await Promise.resolve();
    undone.push("second");
  });
  await stack.undo();
  await stack.undo();
  assert.deepEqual(undone, ["second", "first"]);
});

test("a step that fails does not keep the others from being tried", async () => {
  const stack = new UndoStack();
  let isUndone = false;
  stack.add("first", () => {
    isUndone = true;
  });
  stack.add("second", () => {
    throw new Error("busy");
  });
  stack.add("third", () => Promise.reject(new Error("gone")));
  await assert.rejects(stack.undo(), {
    name: "AggregateError",
    message: "not undone: third: gone; second: busy",
  });
  assert.equal(isUndone, true);
});
