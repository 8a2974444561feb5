import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { startAnswer, type TaskVersion, taskVersionOf } from "./task-version.js";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-fs-task-version-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A program in containerd's place, which tells in a file that it was asked. */
function containerd(script: string): string {
  const file = join(directory, "containerd");
  writeFileSync(file, `#!/bin/sh\necho "$@" >>${directory}/asked\n${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

/** What they print. */
const KNOWN: readonly (readonly [string, TaskVersion])[] = [
  ["containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", 2],
  ["containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6+deb13u1", 2],
  ["containerd github.com/containerd/containerd v1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da", 2],
  ["containerd github.com/containerd/containerd/v2 2.1.9+unknown ", 3],
  ["containerd github.com/k3s-io/containerd/v2 v2.0.5-k3s1 ", 3],
  ["containerd github.com/containerd/containerd/v2 v10.0.0 ", 3],
  ["something else 3.4.5", 2],
];
for (const [text, version] of KNOWN) {
  test(`${text}: version ${version}`, async () => {
    assert.equal(await taskVersionOf(containerd(`echo '${text}'`), directory), version);
  });
}

test("a containerd is asked once, until its file changes", async () => {
  const cache = join(directory, "cache");
  const file = containerd("echo containerd x v2.1.0");
  assert.equal(await taskVersionOf(file, cache), 3);
  rmSync(join(directory, "asked"));
  assert.equal(await taskVersionOf(file, cache), 3);
  assert.deepEqual(readdirSync(directory).sort(), ["cache", "containerd"]);
  assert.equal(await taskVersionOf(containerd("echo containerd x 1.7.24, an older one"), cache), 2);
});

test("one that says nothing speaks the version that all speak, and is asked again", async () => {
  assert.equal(await taskVersionOf("/nowhere/containerd", directory), 2);
  assert.equal(await taskVersionOf("containerd", directory), 2);
  assert.equal(await taskVersionOf("", directory), 2);
  const file = containerd("exit 1");
  assert.equal(await taskVersionOf(file, directory), 2);
  assert.deepEqual(readdirSync(directory).sort(), ["asked", "containerd"]);
});

test("containerd 2 gets its parameters in JSON, older ones the address as it is", () => {
  assert.equal(startAnswer("unix:///run/s", 2), "unix:///run/s");
  assert.deepEqual(JSON.parse(startAnswer("unix:///run/s", 3)), {
    version: 3,
    address: "unix:///run/s",
    protocol: "ttrpc",
  });
});
