import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { familyFigures, processFigures } from "./process.js";

test("a process counts alone or with its descendants, and one that has ended not at all", async () => {
  const child = spawn("sh", ["-c", "sh -c 'echo; read line' ; true"], { stdio: ["pipe", "pipe", "inherit"] });
  await once(child.stdout, "data");
  const pid = child.pid ?? 0;
  const [alone, family] = [processFigures(pid), familyFigures(pid)];
  assert.equal(alone?.threads, 1);
  assert.equal(family?.threads, 2);
  assert.ok(
    (family?.descriptors ?? 0) > (alone?.descriptors ?? 0),
    "the inner shell's descriptors count, too",
  );
  assert.ok((family?.residentBytes ?? 0) > (alone?.residentBytes ?? 0), "so does its memory");
  child.stdin.end();
  await once(child, "exit");
  assert.equal(familyFigures(pid), undefined);
});
