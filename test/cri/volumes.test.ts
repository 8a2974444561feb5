import assert from "node:assert/strict";
import { chown, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { cri } from "../../proto/index.js";
import { execute } from "../e2e/machine.js";
import { Node, type Pod } from "./node.js";

/** Another series of containerd: KATA_FS_CONTAINERD=2.1. */
const { KATA_FS_CONTAINERD: series = "1.7" } = process.env;
const SERVE = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
const MIB = 2 ** 20;
const FS_GROUP = 2000;
const { PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL } = cri.MountPropagation;

type Mount = cri.Mount.$Properties;

describe("volumes of a pod", () => {
  let node: Node;
  let pod: Pod;
  let directory: string;
  let cache: string;

  before(async () => {
    node = await Node.start(series);
    directory = join(node.directory, "volumes");
    cache = join(directory, "kubernetes.io~empty-dir/cache");
    await mkdir(cache, { recursive: true });
    // As a kubelet does it: the volume is there before the pod.
    const options = `size=${8 * MIB},mode=2770,gid=${FS_GROUP}`;
    assert.equal((await execute(["mount", "-t", "tmpfs", "-o", options, "tmpfs", cache])).status, 0);
    pod = await node.runPod("volumes", { linux: { security_context: { privileged: true } } });
  });
  after(async () => {
    for (const mounted of ["kubernetes.io~empty-dir/cache", "tree/late", "tree/inner", "tree"])
      await execute(["umount", "--lazy", join(directory, mounted)]);
    await node?.stop();
  });

  /** A directory of the host with a file in it. */
  async function host(name: string, contents: string): Promise<string> {
    const path = join(directory, name);
    await mkdir(path, { recursive: true });
    await writeFile(join(path, "file"), contents);
    return path;
  }

  function run(name: string, mounts: Mount[], script = SERVE): Promise<string> {
    return node.run(pod, name, script, { mounts });
  }

  it("hostPath, a directory, a file, a part: writable where it is to be, and nowhere else", async () => {
    const data = await host("data", "of the host\n");
    const fixed = await host("fixed", "fixed\n");
    await mkdir(join(data, "part"));
    const id = await run("paths", [
      { container_path: "/data", host_path: data },
      { container_path: "/data/nested", host_path: fixed, readonly: true },
      { container_path: "/part", host_path: join(data, "part") },
      { container_path: "/etc/one", host_path: join(fixed, "file"), readonly: true },
      { container_path: "/fixed", host_path: fixed, readonly: true },
    ]);
    await node.output(id, "cat /data/file && echo guest > /data/new && echo part > /part/new");
    assert.equal(await readFile(join(data, "new"), "utf8"), "guest\n");
    assert.equal(await readFile(join(data, "part/new"), "utf8"), "part\n");
    assert.equal(await node.output(id, "cat /data/nested/file /etc/one"), "fixed\nfixed\n");
    const refused = "for f in /data/nested/x /fixed/x /etc/one; do echo x > $f && echo wrote; done; true";
    assert.equal(await node.output(id, `(${refused}) 2>/dev/null`), "");

    // With all rights in the guest the container's own mount is no obstacle: the host is.
    const root = await node.run(pod, "root", SERVE, {
      mounts: [{ container_path: "/fixed", host_path: fixed, readonly: true }],
      linux: { security_context: { privileged: true } },
    });
    const remount = "mount -o remount,rw,bind /fixed; mount -o remount,rw /fixed; echo x > /fixed/file; true";
    assert.match(await node.output(root, `(${remount}) 2>&1`), /Read-only file system/i);
    assert.equal(await readFile(join(fixed, "file"), "utf8"), "fixed\n");
    for (const each of [id, root]) await node.client.removeContainer(each);
  });

  it("emptyDir in memory: as large as the host's, for all containers, and there as long as the pod", async () => {
    const mounts = [{ container_path: "/cache", host_path: cache }];
    const writer = await run("writer", mounts, "echo kept > /cache/file");
    assert.equal((await node.untilExited(writer)).exit_code, 0);
    await node.client.removeContainer(writer);

    const reader = await node.run(pod, "reader", SERVE, {
      mounts,
      linux: { security_context: { run_as_user: { value: 1000 }, supplemental_groups: [FS_GROUP] } },
    });
    assert.equal(await node.output(reader, "cat /cache/file; echo mine > /cache/mine"), "kept\n");
    assert.match(await node.output(reader, "stat -c %g /cache/mine"), new RegExp(`^${FS_GROUP}$`, "m"));
    assert.match(await node.output(reader, "mount | busybox grep ' /cache '"), /^tmpfs .*size=8192k/);
    await node.output(reader, "! busybox dd if=/dev/zero of=/cache/big bs=1M count=9 2>/dev/null");
    await assert.rejects(stat(join(cache, "file")), "in the guest's memory, not in the host's");
    await node.client.removeContainer(reader);
  });

  it("configMap and secret: what the kubelet swaps is there", async () => {
    const map = join(directory, "map");
    const publish = async (version: string) => {
      await mkdir(join(map, `..${version}`), { recursive: true });
      await writeFile(join(map, `..${version}`, "key"), `${version}\n`);
      await symlink(`..${version}`, join(map, "..data_tmp"));
      await rename(join(map, "..data_tmp"), join(map, "..data"));
    };
    await publish("first");
    await symlink("..data/key", join(map, "key"));
    const watch = "while :; do cat /map/key; sleep 0.2; done";
    const id = await run("watcher", [{ container_path: "/map", host_path: map, readonly: true }], watch);
    await node.untilLog(pod, "watcher", /^first$/m);
    await publish("second");
    await rm(join(map, "..first"), { recursive: true });
    await node.untilLog(pod, "watcher", /^second$/m);
    assert.equal(await node.output(id, "cat /map/key"), "second\n");
    await node.client.removeContainer(id);
  });

  it("what the host mounts later appears where HostToContainer says so", async () => {
    const tree = await host("tree", "outer\n");
    await mkdir(join(tree, "late"));
    await mkdir(join(tree, "inner"));
    const mount = async (...words: string[]) => assert.equal((await execute(["mount", ...words])).status, 0);
    await mount("--bind", tree, tree);
    await mount("--make-shared", tree);
    await mount("-t", "tmpfs", "tmpfs", join(tree, "inner"));
    await writeFile(join(tree, "inner/file"), "inner\n");
    // A pod of its own: its shim has to know the mounts that propagate.
    const other = await node.runPod("propagation");
    const id = await node.run(other, "slave", SERVE, {
      mounts: [{ container_path: "/tree", host_path: tree, propagation: PROPAGATION_HOST_TO_CONTAINER }],
    });
    assert.equal(await node.output(id, "cat /tree/file /tree/inner/file"), "outer\ninner\n");
    await mount("-t", "tmpfs", "tmpfs", join(tree, "late"));
    await writeFile(join(tree, "late/file"), "late\n");
    assert.equal(await node.output(id, "cat /tree/late/file"), "late\n");
    await node.removePod(other);
  });

  it("what cannot be is refused by its name, and the container that asked for it leaves nothing", async () => {
    const before = await node.mountsOf(pod);
    const data = await host("refused", "");
    await assert.rejects(
      run("bidirectional", [
        { container_path: "/m", host_path: data, propagation: PROPAGATION_BIDIRECTIONAL },
      ]),
      /mountPropagation|is not a shared mount/,
    );
    const gone = await host("gone", "");
    const vanished = await node.create(pod, "vanished", SERVE, {
      mounts: [{ container_path: "/m", host_path: gone }],
    });
    await rm(gone, { recursive: true });
    await assert.rejects(node.client.startContainer(vanished), /the source of a mount: ENOENT.*gone/);
    await node.client.removeContainer(vanished);
    const device = join(directory, "device");
    assert.equal((await execute(["mknod", device, "c", "10", "232"])).status, 0);
    await assert.rejects(
      node.run(pod, "device", SERVE, {
        devices: [{ host_path: device, container_path: "/dev/own", permissions: "r" }],
      }),
      /device \/dev\/own is not supported by kata-fs/,
    );
    assert.deepEqual(await node.mountsOf(pod), before);
  });

  it("a volume for a group belongs to it in the guest", async () => {
    const shared = await host("group", "");
    await chown(shared, 0, FS_GROUP);
    await execute(["chmod", "2770", shared]);
    const id = await node.run(pod, "group", SERVE, {
      mounts: [{ container_path: "/group", host_path: shared }],
      linux: {
        security_context: {
          run_as_user: { value: 1000 },
          run_as_group: { value: 1000 },
          supplemental_groups: [FS_GROUP],
        },
      },
    });
    assert.equal(
      await node.output(id, "id -u; id -g; echo mine > /group/mine && stat -c %u:%g /group/mine"),
      `1000\n1000\n1000:${FS_GROUP}\n`,
    );
    const { uid, gid } = await stat(join(shared, "mine"));
    assert.deepEqual([uid, gid], [1000, FS_GROUP]);
    await node.client.removeContainer(id);
  });

  it("a block device is a disk of the guest, for one who writes and as long as the container", async () => {
    const image = join(directory, "disk.img");
    await writeFile(image, Buffer.alloc(4 * MIB, "host"));
    const loop = (await execute(["losetup", "--find", "--show", image])).stdout.toString().trim();
    try {
      const disk = { host_path: loop, container_path: "/dev/xvda", permissions: "mrw" };
      const id = await node.run(pod, "disk", SERVE, { devices: [disk] });
      assert.equal(await node.output(id, "busybox head -c 4 /dev/xvda"), "host");
      assert.equal(await node.output(id, "busybox blockdev --getsize64 /dev/xvda"), `${4 * MIB}\n`);
      await node.output(id, "printf guest | busybox dd of=/dev/xvda bs=1 seek=512 conv=notrunc,fsync");
      assert.equal((await readFile(loop)).subarray(512, 517).toString(), "guest");

      // Another pod may not write to it, nor read what is being written.
      const other = await node.runPod("other-disk");
      const refused = node.run(other, "disk", SERVE, { devices: [disk] });
      await assert.rejects(refused, /block device \/dev\/loop\d+ is in use/);
      await node.client.removeContainer(id);
      const heir = await node.run(other, "heir", SERVE, { devices: [{ ...disk, permissions: "r" }] });
      assert.equal(
        await node.output(heir, "busybox dd if=/dev/xvda bs=512 skip=1 count=1 | busybox head -c 5"),
        "guest",
      );
      await node.output(heir, "! echo x > /dev/xvda");
      await node.removePod(other);
      const back = await node.run(pod, "back", SERVE, { devices: [disk] });
      assert.equal(await node.output(back, "busybox head -c 4 /dev/xvda"), "host");
      await node.client.removeContainer(back);
    } finally {
      await execute(["losetup", "--detach", loop]);
    }
  });

  it("ends with the pod", async () => {
    await node.removePod(pod);
    assert.deepEqual(await node.machine.leftovers(), []);
  });
});
