import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfiguration } from "../../configs/index.js";
import { isDirectoryGuest, rootParameters } from "./guest-os.js";

const guest = (yaml: string) => parseConfiguration(`guest: { ${yaml} }`, "c").guest;

test("a directory is the root over virtio-fs, with DAX if there is any", () => {
  const parameters = rootParameters(guest(""), true);
  assert.deepEqual(parameters.slice(0, 4), [
    "root=kataGuest",
    "rootfstype=virtiofs",
    "rootflags=dax=always",
    "ro",
  ]);
  assert.equal(rootParameters(guest(""), false).includes("rootflags=dax=always"), false);
});

test("an image is a partition of a disk, whose systemd starts Kata's target", () => {
  const parameters = rootParameters(guest("image: /k/kata.img"), true);
  assert.deepEqual(parameters.slice(0, 4), [
    "root=/dev/vda1",
    "rootfstype=ext4",
    "rootflags=data=ordered,errors=remount-ro",
    "ro",
  ]);
  for (const wanted of ["systemd.unit=kata-containers.target", "cgroup_no_v1=all"])
    assert(parameters.includes(wanted));
});

test("an image in persistent memory is mapped by the guest", () => {
  const parameters = rootParameters(guest("image: /k/kata.img, imageDevice: pmem"), true);
  assert.equal(parameters[0], "root=/dev/pmem0p1");
  assert.equal(parameters[2], "rootflags=dax,data=ordered,errors=remount-ro");
});

test("an image without partitions, and another file system than ext4", () => {
  const parameters = rootParameters(
    guest("image: /k/a.img, imagePartition: 0, imageFileSystem: erofs"),
    true,
  );
  assert.deepEqual(parameters.slice(0, 3), ["root=/dev/vda", "rootfstype=erofs", "ro"]);
});

test("an initrd alone has no other root, and no systemd", () => {
  const initrd = guest("initrd: /k/initrd.img");
  assert.equal(isDirectoryGuest(initrd), false);
  assert.deepEqual(rootParameters(initrd, true), ["cgroup_no_v1=all", "systemd.unified_cgroup_hierarchy=1"]);
});
