import { fileURLToPath } from "node:url";
import type { TestTools } from "../../setup/toolchain.js";
import { daxDevice, plainDevice } from "../../test/guest/file-system-daemon.js";
import type { BenchFiles } from "./share.js";

const KATA_FSD = fileURLToPath(new URL("../../dist/bin/kata-fsd", import.meta.url));

/** A way to give a guest the files. Its name is the directory below /mnt where the guest has them. */
export interface Subject {
  readonly name: string;
  readonly title: string;
  /** The daemon that serves it, besides QEMU. */
  daemon?(socket: string): readonly string[];
  /** QEMU's arguments. */
  devices(socket: string): readonly string[];
  /** Words of mount(8) before the directory. */
  readonly mount: readonly string[];
  /** Makes QEMU tell all vhost-user devices of the machine of new memory again and again, which virtiofsd refuses. */
  readonly hasWindow: boolean;
}

/**
 * kata-fsd has for ro/ the policy that a shim gives to layers of images, and for rw/ that of what containers write; the others have none
 * that is to be told.
 */
export function subjectsFor(
  { share, disk }: BenchFiles,
  { argv }: TestTools["virtiofsd"],
): readonly Subject[] {
  const kataFsd = (socket: string, ...more: string[]) => [
    ...[KATA_FSD, `--socket-path=${socket}`, `--shared-dir=${share}`, "--xattr"],
    ...["--export=/:exclusive", "--export=ro:immutable", ...more],
  ];
  return [
    {
      name: "dax",
      title: "kata-fsd, DAX",
      daemon: (socket) => kataFsd(socket, "--tag=dax", "--dax=inode"),
      devices: (socket) => daxDevice(socket, "dax"),
      mount: ["-t", "virtiofs", "-o", "dax=inode", "dax"],
      hasWindow: true,
    },
    {
      name: "plain",
      title: "kata-fsd",
      daemon: (socket) => kataFsd(socket),
      devices: (socket) => plainDevice(socket, "plain"),
      mount: ["-t", "virtiofs", "plain"],
      hasWindow: false,
    },
    {
      name: "virtiofsd",
      title: "virtiofsd",
      daemon: (socket) => [...argv, `--socket-path=${socket}`, `--shared-dir=${share}`, "--xattr"],
      devices: (socket) => plainDevice(socket, "virtiofsd"),
      mount: ["-t", "virtiofs", "virtiofsd"],
      hasWindow: false,
    },
    {
      name: "disk",
      title: "disk, ext4",
      devices: () => [
        ...["-drive", `file=${disk},if=none,id=disk,format=raw,cache=writeback`],
        ...["-device", "virtio-blk-pci,drive=disk"],
      ],
      mount: ["-t", "ext4", "/dev/vda"],
      hasWindow: false,
    },
  ];
}

/** Where the guest has Node.js from, which runs the workloads: so that no subject has anything of it in memory before. */
export function toolsSubject(guestRoot: string, hasWindow: boolean): Subject {
  return {
    name: "tools",
    title: "tools",
    daemon: (socket) => [
      ...[KATA_FSD, `--socket-path=${socket}`, `--shared-dir=${guestRoot}`, "--tag=tools"],
      ...["--readonly", "--cache=always", ...(hasWindow ? ["--dax=always"] : [])],
    ],
    devices: (socket) => (hasWindow ? daxDevice : plainDevice)(socket, "tools"),
    mount: ["-t", "virtiofs", "-o", hasWindow ? "dax=always,ro" : "ro", "tools"],
    hasWindow,
  };
}
