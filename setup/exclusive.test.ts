import assert from "node:assert/strict";
import { test } from "node:test";
import { takeLock } from "../scripts/exclusive.mjs";

test("one holder at a time, named to whoever comes second", async () => {
  const directory = `/nonexistent/kata-fs-${process.pid}`;
  const giveBack = await takeLock(directory);
  await assert.rejects(takeLock(directory), {
    message: new RegExp(`^process ${process.pid} is at work in ${directory}`),
  });
  const other = await takeLock(`${directory}-other`);
  giveBack();
  const again = await takeLock(directory);
  again();
  other();
});
