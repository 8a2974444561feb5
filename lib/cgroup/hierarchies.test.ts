import assert from "node:assert/strict";
import { test } from "node:test";
import { directoryIn, parseHierarchies } from "./hierarchies.js";

const V1 = [
  "30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755",
  "31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate",
  "32 30 0:28 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd",
  "33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct",
  "34 30 0:30 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory",
  "35 30 0:30 / /mnt/memory rw,nosuid - cgroup cgroup rw,memory",
].join("\n");

test("a machine with controllers of version 1 uses those, also when version 2 is mounted beside them", () => {
  const found = parseHierarchies(V1);
  assert.deepEqual(
    found.map(({ version, controllers }) => [version, controllers.join()]),
    [
      [1, "cpu,cpuacct"],
      [1, "memory"],
    ],
  );
});

test("a machine without them uses version 2, and one with neither uses none", () => {
  const unified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
  assert.deepEqual(parseHierarchies(unified), [
    { version: 2, mountPoint: "/sys/fs/cgroup", root: "/", controllers: [] },
  ]);
  assert.deepEqual(parseHierarchies("30 24 0:26 / / rw - ext4 /dev/vda rw"), []);
});

test("a process's place is told by /proc/PID/cgroup, whose paths may begin above what is mounted", () => {
  const cpu = { version: 1, mountPoint: "/cg/cpu", root: "/", controllers: ["cpu", "cpuacct"] } as const;
  const text = "5:memory:/m\n4:cpu,cpuacct:/a/b\n1:name=systemd:/s\n0::/u\n";
  assert.equal(directoryIn(cpu, text), "/cg/cpu/a/b");
  assert.equal(directoryIn({ ...cpu, root: "/a" }, text), "/cg/cpu/b");
  const unified = { version: 2, mountPoint: "/cg", root: "/", controllers: [] } as const;
  assert.equal(directoryIn(unified, text), "/cg/u");
  assert.equal(directoryIn({ ...unified, root: "/u" }, text), "/cg");
});
