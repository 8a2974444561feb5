import type { Accelerator } from "./accelerator.js";
import { QMP_FD } from "./inherited-descriptors.js";

/** How large a VM is. */
export interface VmSize {
  readonly cpus: number;
  readonly memoryMiB: number;
}

/** A virtio-fs device: its back end and what the guest calls it. */
export interface FileSystemDevice {
  /** QEMU's number of a connection to the back end. */
  readonly socketFd: number;
  readonly tag: string;
  /**
   * True: QEMU's generic vhost-user device, which maps memory that the back end offers (QEMU 11.1 and newer). False:
   * vhost-user-fs-pci.
   */
  readonly dax: boolean;
}

/** A disk image with the guest's root file system, which QEMU only reads. */
export type GuestImage =
  | { readonly device: "virtio-blk" /** QEMU's number of the open file. */; readonly fd: number }
  | { readonly device: "pmem"; readonly path: string; readonly sizeBytes: number };

/** A network card, virtio-net. */
export interface NetworkDevice {
  /** QEMU's number of the tap interface's descriptor. */
  readonly tapFd: number;
  /** QEMU's number of an open /dev/vhost-net: the host's kernel moves the packets then, and not QEMU. */
  readonly vhostFd?: number | undefined;
  readonly mac: string;
}

/** Everything about a VM that QEMU is told. */
export interface VmDescription {
  readonly name: string;
  readonly accelerator: Accelerator;
  readonly size: VmSize;
  /** What it can be made to while it runs. */
  readonly largest: VmSize;
  /** Bootable image and its command line. */
  readonly kernel: string;
  readonly kernelParameters: readonly string[];
  readonly initrd?: string | undefined;
  readonly image?: GuestImage | undefined;
  /** For -bios; empty for QEMU's own choice. */
  readonly firmware: string;
  readonly fileSystems: readonly FileSystemDevice[];
  readonly networkCards: readonly NetworkDevice[];
  /** Whether there is a bus for disks that come while it runs. */
  readonly canPlugDisks: boolean;
  /** QEMU's number of a connection to the vhost-user vsock back end. */
  readonly vsockSocketFd: number;
}

/** QEMU's generic vhost-user device, which maps shared memory that its back end offers. */
export const DAX_DEVICE = "vhost-user-test-device-pci";

/** VIRTIO_ID_FS of the virtio specification, 5.11. */
const VIRTIO_ID_FS = 26;
/** Bytes of struct virtio_fs_config: tag, num_request_queues, notify_buf_size. */
const VIRTIO_FS_CONFIG_BYTES = 44;
/** The high-priority queue and one request queue. */
const VIRTIO_FS_QUEUES = 2;
const QUEUE_ENTRIES = 512;

/** The SCSI bus that disks are plugged into: they are units of its target 0. Plugging them needs nothing of PCI. */
export const DISK_BUS = { id: "disks", target: 0, units: 256 } as const;

/**
 * What emulation offers that only costs time there: string instructions that the guest prefers because real processors are fast at
 * them, a fifth level of page tables, and a fence around each access to user memory.
 */
const SLOW_IN_EMULATION = ["erms", "fsrm", "la57", "smap"];

const CPU_MODELS: Readonly<Record<Accelerator, string>> = {
  kvm: "host",
  tcg: ["max", ...SLOW_IN_EMULATION.map((feature) => `-${feature}`)].join(","),
};

/** How often memory can be plugged in. */
const MEMORY_SLOTS = 32;

/** QEMU's arguments for a VM. */
export function qemuArguments(vm: VmDescription): string[] {
  const { size, largest } = vm;
  const memory = `memory-backend-memfd,id=ram,size=${size.memoryMiB}M,share=on`;
  // A processor to a socket, as Kata has it: a kernel that knows no hypervisor (TCG's it does not) refuses to plug one into a socket with others.
  const sockets = `sockets=${largest.cpus},cores=1,threads=1,maxcpus=${largest.cpus}`;
  // Persistent memory has its place among the memory that can be plugged in.
  const imageMiB = vm.image?.device === "pmem" ? Math.ceil(vm.image.sizeBytes / 2 ** 20) : 0;
  const maxMiB = largest.memoryMiB + imageMiB;
  const memoryRoom = maxMiB > size.memoryMiB ? `,slots=${MEMORY_SLOTS},maxmem=${maxMiB}M` : "";
  return [
    ...["-name", escapeComma(vm.name)],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    // Nothing of what a VM of ours does needs another program or other privileges than QEMU started with.
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...["-machine", `q35,accel=${vm.accelerator},memory-backend=ram${imageMiB > 0 ? ",nvdimm=on" : ""}`],
    ...["-cpu", CPU_MODELS[vm.accelerator]],
    ...["-smp", `${size.cpus},${sockets}`],
    ...["-m", `${size.memoryMiB}M${memoryRoom}`],
    // vhost-user back ends read the guest's memory in place, hence shared.
    ...["-object", memory],
    ...(vm.firmware === "" ? [] : ["-bios", vm.firmware]),
    ...["-kernel", vm.kernel, "-append", vm.kernelParameters.join(" ")],
    ...(vm.initrd === undefined ? [] : ["-initrd", vm.initrd]),
    ...(vm.image === undefined ? [] : imageArguments(vm.image)),
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...["-chardev", `socket,id=qmp,fd=${QMP_FD}`, "-qmp", "chardev:qmp"],
    ...vm.fileSystems.flatMap(fileSystemArguments),
    ...vm.networkCards.flatMap(networkArguments),
    ...["-chardev", `socket,id=vsock,fd=${vm.vsockSocketFd}`],
    ...["-device", "vhost-user-vsock-pci,chardev=vsock"],
    ...(vm.canPlugDisks ? ["-device", `virtio-scsi-pci,id=${DISK_BUS.id}`] : []),
  ];
}

function imageArguments(image: GuestImage): string[] {
  if (image.device === "virtio-blk") {
    const file = "driver=file,node-name=image,filename=/dev/fdset/1,read-only=on,locking=off";
    return [
      ...["-add-fd", `fd=${image.fd},set=1`],
      ...["-blockdev", file, "-device", "virtio-blk-pci,drive=image"],
    ];
  }
  const { path, sizeBytes } = image;
  const file = `mem-path=${escapeComma(path)},size=${sizeBytes},share=on,readonly=on`;
  return [
    ...["-object", `memory-backend-file,id=image,${file}`],
    ...["-device", "nvdimm,id=nv0,memdev=image,unarmed=on"],
  ];
}

function fileSystemArguments({ socketFd, tag, dax }: FileSystemDevice, index: number): string[] {
  const chardev = `fs${index}`;
  const device = dax
    ? `${DAX_DEVICE},chardev=${chardev},virtio-id=${VIRTIO_ID_FS},num_vqs=${VIRTIO_FS_QUEUES},` +
      `vq_size=${QUEUE_ENTRIES},config_size=${VIRTIO_FS_CONFIG_BYTES}`
    : `vhost-user-fs-pci,chardev=${chardev},tag=${escapeComma(tag)},queue-size=${QUEUE_ENTRIES}`;
  return ["-chardev", `socket,id=${chardev},fd=${socketFd}`, "-device", device];
}

function networkArguments({ tapFd, vhostFd, mac }: NetworkDevice, index: number): string[] {
  const vhost = vhostFd === undefined ? "" : `,vhost=on,vhostfd=${vhostFd}`;
  return [
    ...["-netdev", `tap,id=net${index},fd=${tapFd}${vhost}`],
    // No program to boot from the network.
    ...["-device", `virtio-net-pci,netdev=net${index},mac=${mac},romfile=`],
  ];
}

/** In an option list of QEMU a comma within a value is written twice. */
function escapeComma(value: string): string {
  return value.replaceAll(",", ",,");
}
