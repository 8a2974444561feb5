import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { Cgroup, CgroupError, rememberPlace, removeCgroup, removeIfEmpty } from "./cgroup.js";
import { directoryIn, type Hierarchy, mountedHierarchies } from "./hierarchies.js";

/** Of this machine: what it controls resources with, and version 2 if it is mounted at all. */
const KINDS: Readonly<Record<string, readonly Hierarchy[]>> = {
  "this machine": mountedHierarchies(),
  "version 2": version2(),
};

function version2(): Hierarchy[] {
  const line = /^\S+ \S+ \S+ (\S+) (\S+) .* - cgroup2 /m.exec(readFileSync("/proc/self/mountinfo", "utf8"));
  if (line === null) return [];
  return [{ version: 2, mountPoint: line[2] ?? "", root: line[1] ?? "/", controllers: [] }];
}

function reasonToSkip(hierarchies: readonly Hierarchy[]): string | false {
  if (hierarchies.length === 0) return "not mounted here";
  try {
    for (const { mountPoint } of hierarchies) accessSync(mountPoint, constants.W_OK);
    return false;
  } catch {
    return "read-only here";
  }
}

/** A process, in every thread of which there is something to see: Node has several. */
function sleeper(t: TestContext): { pid: number; end: () => Promise<unknown> } {
  const child = spawn("sleep", ["1000"]);
  const ended = once(child, "exit");
  const end = () => {
    child.kill("SIGKILL");
    return ended;
  };
  t.after(end);
  return { pid: child.pid ?? 0, end };
}

for (const [kind, hierarchies] of Object.entries(KINDS)) {
  const options = { skip: reasonToSkip(hierarchies) };
  const placesOf = (pid: number | "self") => {
    const procCgroup = readFileSync(`/proc/${pid}/cgroup`, "utf8");
    return hierarchies.map((hierarchy) => directoryIn(hierarchy, procCgroup));
  };

  test(`${kind}: a cgroup takes processes, and is removed when they are gone`, options, async (t) => {
    const cgroup = Cgroup.create(hierarchies, `/kata-fs-test-${process.pid}/inner`);
    t.after(() => {
      for (const directory of cgroup.directories) removeIfEmpty(dirname(directory));
    });
    t.after(() => Promise.all(cgroup.directories.map((directory) => removeCgroup(directory, 1000))));
    const { pid, end } = sleeper(t);
    cgroup.addProcess(pid);
    assert.deepEqual(placesOf(pid), cgroup.directories);
    for (const directory of cgroup.directories) {
      await assert.rejects(
        removeCgroup(directory, 20),
        (error) => error instanceof CgroupError && error.code === "EBUSY",
      );
    }
    // It goes while the removal waits.
    const removals = cgroup.directories.map((directory) => removeCgroup(directory, 5000));
    await end();
    await Promise.all(removals);
    assert.deepEqual(cgroup.directories.filter(existsSync), []);
    for (const directory of cgroup.directories) await removeCgroup(directory, 0);
  });

  test(`${kind}: a process goes back to where it was, or to the root if that is gone`, options, async (t) => {
    const before = placesOf("self");
    const cgroup = Cgroup.create(hierarchies, `/kata-fs-test-back-${process.pid}`);
    const goBack = rememberPlace(hierarchies);
    t.after(async () => {
      goBack();
      for (const directory of cgroup.directories) await removeCgroup(directory, 1000);
    });
    cgroup.addProcess(process.pid);
    assert.deepEqual(placesOf("self"), cgroup.directories);
    goBack();
    assert.deepEqual(placesOf("self"), before);
  });
}

const v1 = mountedHierarchies().filter(({ version }) => version === 1);

test("version 1: a thread is moved alone", { skip: v1.length === 0 && "not mounted here" }, async (t) => {
  const cgroup = Cgroup.create(v1, `/kata-fs-test-thread-${process.pid}`);
  assert.equal(cgroup.takesThreads, true);
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  const ended = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
    for (const directory of cgroup.directories) await removeCgroup(directory, 1000);
  });
  const task = `/proc/${child.pid}/task`;
  let threads: string[] = [];
  while (threads.length < 2) threads = readdirSync(task);
  const moved = threads.find((tid) => tid !== `${child.pid}`);
  cgroup.addThread(Number(moved));
  const placesOf = (tid: string) => {
    const procCgroup = readFileSync(join(task, tid, "cgroup"), "utf8");
    return v1.map((hierarchy) => directoryIn(hierarchy, procCgroup));
  };
  assert.deepEqual(placesOf(moved ?? ""), cgroup.directories);
  assert.notDeepEqual(placesOf(`${child.pid}`), cgroup.directories);
});

const memory =
  mountedHierarchies().find(({ controllers }) => controllers.includes("memory")) ??
  mountedHierarchies().find(({ version }) => version === 2);
const LIMIT_FILES = { 1: "memory.limit_in_bytes", 2: "memory.max" } as const;

test("processes that the kernel kills for want of memory are counted", {
  skip: memory === undefined ? "no memory controller here" : reasonToSkip([memory]),
}, async (t) => {
  assert.ok(memory);
  const cgroup = Cgroup.create([memory], `/kata-fs-test-oom-${process.pid}`);
  const [directory = ""] = cgroup.directories;
  t.after(() => removeCgroup(directory, 2000));
  writeFileSync(join(directory, LIMIT_FILES[memory.version]), `${8 << 20}`);
  assert.equal(cgroup.oomKills(), 0);
  // What it waits for comes when it is in the cgroup.
  const hungry = spawn("sh", ["-c", "read -r _; exec dd if=/dev/zero of=/dev/null bs=200M count=1"], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  const ended = once(hungry, "exit");
  t.after(() => hungry.kill("SIGKILL"));
  cgroup.addProcess(hungry.pid ?? 0);
  hungry.stdin.end("go\n");
  assert.deepEqual(await ended, [null, "SIGKILL"]);
  assert.equal(cgroup.oomKills(), 1);
});
