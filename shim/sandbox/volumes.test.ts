import assert from "node:assert/strict";
import { test } from "node:test";
import { planVolumes } from "./volumes.js";

const SHARED = "/run/kata-containers/shared/containers";

test("what a mount takes from the host goes into the share, and keeps its options", () => {
  const { entries, mounts } = planVolumes("c1", [
    { destination: "/etc/hosts", type: "bind", source: "/pod/hosts", options: ["rbind", "ro"] },
    { destination: "/data", type: "", source: "/srv/data", options: ["bind", "nosuid"] },
  ]);
  assert.deepEqual(entries, [
    { kind: "bind", source: "/pod/hosts", path: "c1/volumes/0", readOnly: true, recursive: true },
    { kind: "bind", source: "/srv/data", path: "c1/volumes/1", readOnly: false, recursive: false },
  ]);
  assert.deepEqual(mounts, [
    { destination: "/etc/hosts", type: "bind", source: `${SHARED}/c1/volumes/0`, options: ["rbind", "ro"] },
    { destination: "/data", type: "bind", source: `${SHARED}/c1/volumes/1`, options: ["bind", "nosuid"] },
  ]);
});

test("what the guest's kernel makes itself is left to it", () => {
  const mounts = [
    { destination: "/proc", type: "proc", source: "proc", options: [] },
    { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["size=1m"] },
    { destination: "/sys/fs/bpf", type: "bind", source: "/sys/fs/bpf", options: ["rbind"] },
    { destination: "/null", type: "bind", source: "/dev/null", options: ["bind"] },
  ];
  assert.deepEqual(planVolumes("c1", mounts), { entries: [], mounts, storages: [] });
});

test("a directory below /dev may be the host's, as huge pages and shared memory are", () => {
  const { entries } = planVolumes("c1", [
    { destination: "/shm2", type: "bind", source: "/dev/shm", options: ["rbind"] },
  ]);
  assert.deepEqual(
    entries.map(({ path }) => path),
    ["c1/volumes/0"],
  );
});

test("shared memory is the pod's in the guest, whatever the host would give", () => {
  const sources = [
    { type: "tmpfs", source: "shm" },
    { type: "bind", source: "/run/pod/shm" },
  ];
  for (const { type, source } of sources) {
    const { entries, mounts } = planVolumes("c1", [
      { destination: "/dev/shm", type, source, options: ["nosuid"] },
    ]);
    assert.deepEqual(entries, []);
    assert.deepEqual(mounts, [
      {
        destination: "/dev/shm",
        type: "bind",
        source: "/run/kata-containers/sandbox/shm",
        options: ["rbind", "nosuid", "noexec", "nodev"],
      },
    ]);
  }
});

test("a device that is not there is named", () => {
  const mount = { destination: "/x", type: "bind", source: "/dev/no-such-device", options: [] };
  assert.throws(() => planVolumes("c1", [mount]), /the source of a mount: ENOENT.*\/dev\/no-such-device/);
});

test("what would mount something on the host is refused with the field's name", () => {
  const mount = { destination: "/m", type: "bind", source: "/srv", options: ["rbind", "rshared"] };
  assert.throws(
    () => planVolumes("c1", [mount]),
    /^ShimError: mountPropagation: Bidirectional of \/m is not/,
  );
});
