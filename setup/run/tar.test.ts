import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { tarEnd, tarFile, tarHeader } from "./tar.js";

test("tar(1) unpacks what we pack", async (context) => {
  const directory = await mkdtemp(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rm(directory, { recursive: true }));
  const archive = Buffer.concat([
    tarHeader({ name: "folder", type: "directory", mode: 0o750, sizeBytes: 0 }),
    tarFile("folder/odd", Buffer.from("x".repeat(513)), 0o755),
    tarFile("folder/whole", Buffer.from("y".repeat(512))),
    tarHeader({ name: "link", type: "symlink", mode: 0o777, sizeBytes: 0, linkName: "folder/odd" }),
    tarEnd(),
  ]);
  await writeFile(join(directory, "archive.tar"), archive);
  await promisify(execFile)("tar", ["-xpf", "archive.tar"], { cwd: directory });
  assert.equal((await readFile(join(directory, "link"), "utf8")).length, 513);
  assert.equal(await readFile(join(directory, "folder/whole"), "utf8"), "y".repeat(512));
  assert.equal((await stat(join(directory, "folder"))).mode & 0o7777, 0o750);
  assert.equal((await stat(join(directory, "folder/odd"))).mode & 0o7777, 0o755);
  assert.equal(await readlink(join(directory, "link")), "folder/odd");
});

test("a name that does not fit is refused, not cut", () => {
  assert.throws(() => tarFile("n".repeat(101), Buffer.alloc(0)), RangeError);
});
