import assert from "node:assert/strict";
import { test } from "node:test";
import { qemuArguments, type VmDescription } from "./description.js";

const VM: VmDescription = {
  name: "c1",
  accelerator: "tcg",
  size: { cpus: 2, memoryMiB: 512 },
  largest: { cpus: 2, memoryMiB: 512 },
  kernel: "/guest/vmlinuz",
  kernelParameters: ["root=kataGuest", "ro"],
  firmware: "qboot.rom",
  fileSystems: [
    { socketFd: 4, tag: "kataGuest", dax: true },
    { socketFd: 5, tag: "kataShared", dax: true },
  ],
  networkCards: [],
  canPlugDisks: false,
  vsockSocketFd: 6,
};

/** The values of an option, in order. */
function valuesOf(args: readonly string[], option: string): string[] {
  return args.filter((_, index) => args[index - 1] === option);
}

test("memory is shared with the back ends, and no device is there that nobody asked for", () => {
  const args = qemuArguments(VM);
  assert.deepEqual(valuesOf(args, "-object"), ["memory-backend-memfd,id=ram,size=512M,share=on"]);
  assert.deepEqual(valuesOf(args, "-m"), ["512M"]);
  assert.deepEqual(valuesOf(args, "-smp"), ["2,sockets=2,cores=1,threads=1,maxcpus=2"]);
  assert(args.includes("-nodefaults") && args.includes("-no-user-config") && args.includes("-no-reboot"));
});

test("a VM that may grow has room for it", () => {
  const args = qemuArguments({ ...VM, largest: { cpus: 8, memoryMiB: 4096 } });
  assert.deepEqual(valuesOf(args, "-smp"), ["2,sockets=8,cores=1,threads=1,maxcpus=8"]);
  assert.deepEqual(valuesOf(args, "-m"), ["512M,slots=32,maxmem=4096M"]);
});

test("file systems with DAX are generic vhost-user devices", () => {
  assert.deepEqual(valuesOf(qemuArguments(VM), "-device"), [
    "vhost-user-test-device-pci,chardev=fs0,virtio-id=26,num_vqs=2,vq_size=512,config_size=44",
    "vhost-user-test-device-pci,chardev=fs1,virtio-id=26,num_vqs=2,vq_size=512,config_size=44",
    "vhost-user-vsock-pci,chardev=vsock",
  ]);
});

test("a network card has the address it is given, and the host's kernel for its packets where that can", () => {
  const networkCards = [
    { tapFd: 7, mac: "02:00:00:00:00:01" },
    { tapFd: 8, vhostFd: 9, mac: "02:00:00:00:00:02" },
  ];
  const args = qemuArguments({ ...VM, networkCards });
  assert.deepEqual(valuesOf(args, "-netdev"), ["tap,id=net0,fd=7", "tap,id=net1,fd=8,vhost=on,vhostfd=9"]);
  assert.deepEqual(
    valuesOf(args, "-device").filter((device) => device.startsWith("virtio-net")),
    [
      "virtio-net-pci,netdev=net0,mac=02:00:00:00:00:01,romfile=",
      "virtio-net-pci,netdev=net1,mac=02:00:00:00:00:02,romfile=",
    ],
  );
});

test("file systems without DAX are devices of any QEMU", () => {
  const fileSystems = VM.fileSystems.map((device) => ({ ...device, dax: false }));
  assert.deepEqual(valuesOf(qemuArguments({ ...VM, fileSystems }), "-device").slice(0, 2), [
    "vhost-user-fs-pci,chardev=fs0,tag=kataGuest,queue-size=512",
    "vhost-user-fs-pci,chardev=fs1,tag=kataShared,queue-size=512",
  ]);
});

test("back ends are connections that QEMU inherits, not paths", () => {
  const sockets = valuesOf(qemuArguments(VM), "-chardev").filter((value) => value.startsWith("socket,"));
  assert.deepEqual(sockets, [
    "socket,id=qmp,fd=3",
    "socket,id=fs0,fd=4",
    "socket,id=fs1,fd=5",
    "socket,id=vsock,fd=6",
  ]);
});

test("an image is a disk by an open file, or persistent memory, and only read", () => {
  const disk = qemuArguments({ ...VM, image: { device: "virtio-blk", fd: 7 } });
  assert.deepEqual(valuesOf(disk, "-add-fd"), ["fd=7,set=1"]);
  assert.match(valuesOf(disk, "-blockdev")[0] ?? "", /filename=\/dev\/fdset\/1,read-only=on/);
  assert(valuesOf(disk, "-device").includes("virtio-blk-pci,drive=image"));

  const sizeBytes = 256 * 2 ** 20;
  const pmem = qemuArguments({ ...VM, image: { device: "pmem", path: "/k/kata,1.img", sizeBytes } });
  assert(
    valuesOf(pmem, "-object").includes(
      `memory-backend-file,id=image,mem-path=/k/kata,,1.img,size=${sizeBytes},share=on,readonly=on`,
    ),
  );
  assert.deepEqual(valuesOf(pmem, "-m"), ["512M,slots=32,maxmem=768M"]);
  assert.match(valuesOf(pmem, "-machine")[0] ?? "", /,nvdimm=on$/);
});

test("an initrd is loaded with the kernel", () => {
  assert.deepEqual(valuesOf(qemuArguments({ ...VM, initrd: "/k/initrd" }), "-initrd"), ["/k/initrd"]);
  assert.equal(qemuArguments(VM).includes("-initrd"), false);
});

test("a comma in a value is no end of it", () => {
  const args = qemuArguments({ ...VM, name: "a,b" });
  assert.deepEqual(valuesOf(args, "-name"), ["a,,b"]);
});

test("the accelerator decides on the processor", () => {
  assert.deepEqual(valuesOf(qemuArguments(VM), "-cpu"), ["max,-erms,-fsrm,-la57,-smap"]);
  const args = qemuArguments({ ...VM, accelerator: "kvm" });
  assert.deepEqual(valuesOf(args, "-cpu"), ["host"]);
  assert.match(valuesOf(args, "-machine")[0] ?? "", /accel=kvm/);
});

test("firmware is QEMU's own choice when none is named", () => {
  assert.deepEqual(valuesOf(qemuArguments(VM), "-bios"), ["qboot.rom"]);
  assert.equal(qemuArguments({ ...VM, firmware: "" }).includes("-bios"), false);
});
