import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { asUser, takeQemuUser } from "./qemu-user.js";

function lockFile(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-user-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "state", "users");
}

test("no two sandboxes have one user, and an id that was given back is given again", (t) => {
  const file = lockFile(t);
  const range = { first: 3000, count: 2 };
  const first = takeQemuUser(range, file);
  const second = takeQemuUser(range, file);
  t.after(() => second.release());
  assert.deepEqual([first.uid, second.uid], [3000, 3001]);
  assert.throws(() => takeQemuUser(range, file), /each of the 2 user ids from 3000 .*userIdCount/);
  first.release();
  const third = takeQemuUser(range, file);
  t.after(() => third.release());
  assert.equal(third.uid, 3000);
});

test("the end of a process gives its id back", (t) => {
  const file = lockFile(t);
  const module = new URL("qemu-user.ts", import.meta.url).href;
  const script = `const { takeQemuUser } = await import("${module}");
    console.log(takeQemuUser({ first: 7, count: 1 }, "${file}").uid); process.kill(process.pid, "SIGKILL");`;
  const { stdout, signal } = spawnSync(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "-e", script],
    { encoding: "utf8" },
  );
  assert.deepEqual([stdout, signal], ["7\n", "SIGKILL"]);
  const user = takeQemuUser({ first: 7, count: 1 }, file);
  user.release();
  assert.equal(user.uid, 7);
});

test("a command runs as the user, without groups, capabilities or a way to gain any", () => {
  const [program = "", ...words] = [...asUser(3000, "tcg"), "cat", "/proc/self/status"];
  const { stdout } = spawnSync(program, words, { encoding: "utf8" });
  const value = (name: string) => new RegExp(`^${name}:[\\t ]*(.*)$`, "m").exec(stdout)?.[1]?.trim();
  assert.deepEqual([value("Uid"), value("Gid")], ["3000\t3000\t3000\t3000", "3000\t3000\t3000\t3000"]);
  assert.deepEqual([value("Groups"), value("NoNewPrivs")], ["", "1"]);
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
    assert.match(value(set) ?? "", /^0+$/);
});
