import assert from "node:assert/strict";
import { chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { MNT_DETACH, mount, unmount } from "../../lib/sys/mount.js";
import { memoryVolume } from "./memory-volume.js";

const MIB = 2 ** 20;

describe("a volume of type emptyDir", () => {
  let pod: string;
  let cache: string;
  let part: string;

  before(() => {
    pod = mkdtempSync(join(tmpdir(), "kata-fs-pod-"));
    cache = join(pod, "volumes/kubernetes.io~empty-dir/cache");
    part = join(pod, "volume-subpaths/cache/app/0");
    mkdirSync(cache, { recursive: true });
    mkdirSync(part, { recursive: true });
    mkdirSync(join(pod, "volumes/kubernetes.io~empty-dir/scratch"));
    mount("tmpfs", cache, "tmpfs", 0, `size=${16 * MIB},mode=0777`);
    mount("tmpfs", part, "tmpfs", 0, "size=4096");
  });
  after(() => {
    for (const point of [part, cache]) unmount(point, MNT_DETACH);
    rmSync(pod, { recursive: true });
  });

  it("with medium: Memory is in the guest's memory, as the host's would be", () => {
    const storage = {
      driver: "ephemeral",
      source: "tmpfs",
      fstype: "tmpfs",
      mount_point: "/run/kata-containers/sandbox/ephemeral/cache",
    };
    assert.deepEqual(memoryVolume(cache), { ...storage, options: [`size=${16 * MIB}`, "mode=777"] });
    chownSync(cache, 0, 2000);
    assert.deepEqual(memoryVolume(cache)?.options, [`size=${16 * MIB}`, "mode=777", "fsgid=2000"]);
  });

  it("on disk is the host's, as is everything else", () => {
    assert.equal(memoryVolume(join(pod, "volumes/kubernetes.io~empty-dir/scratch")), undefined);
    assert.equal(memoryVolume(pod), undefined);
    assert.equal(memoryVolume("/no/kubernetes.io~empty-dir/such"), undefined);
  });

  it("is not cut in parts while it is in memory: they would be another file system", () => {
    assert.throws(
      () => memoryVolume(part),
      /^ShimError: subPath of volume cache, which is in memory is not supported by kata-fs/,
    );
  });
});
