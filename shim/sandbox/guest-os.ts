import { statSync } from "node:fs";
import type { GuestConfiguration } from "../../configs/index.js";
import type { GuestImage } from "../vm/description.js";
import type { InheritedDescriptors } from "../vm/inherited-descriptors.js";
import { Tags } from "./layout.js";

/**
 * Whether the guest boots from a directory of the host that kata-fsd serves. Otherwise it boots from an image, an initrd, or an image that
 * an initrd makes ready, as Kata's official guests do.
 */
export function isDirectoryGuest({ image, initrd }: GuestConfiguration): boolean {
  return image === undefined && initrd === undefined;
}

/** The image as QEMU is told of it; undefined without one. @throws SysError */
export function imageOf(guest: GuestConfiguration, inherited: InheritedDescriptors): GuestImage | undefined {
  const { image, imageDevice } = guest;
  if (image === undefined) return undefined;
  if (imageDevice === "virtio-blk") return { device: imageDevice, fd: inherited.open(image) };
  return { device: imageDevice, path: image, sizeBytes: statSync(image).size };
}

/** What a directory guest is told, whose kernel is Debian's. */
const DIRECTORY_PARAMETERS = [
  // Boot time: what a VM does not have, or need not wait for.
  "random.trust_cpu=on",
  "initcall_blacklist=jent_mod_init,crypto_kdf108_init,init_encrypted",
  "lsm=landlock,yama,capability",
];

/** What Kata's agent expects that is started as the first process: it looks there for the version of the cgroups to mount. */
const KATA_PARAMETERS = ["cgroup_no_v1=all", "systemd.unified_cgroup_hierarchy=1"];

/** An image's init is systemd, whose target it is to run the agent. The agent configures the network. */
const SYSTEMD_PARAMETERS = [
  "systemd.unit=kata-containers.target",
  "systemd.mask=systemd-networkd.service",
  "systemd.mask=systemd-networkd.socket",
];

/** The part of the kernel's command line that says where the root file system is and what starts from there. */
export function rootParameters(guest: GuestConfiguration, dax: boolean): string[] {
  if (isDirectoryGuest(guest)) {
    const flags = dax ? ["rootflags=dax=always"] : [];
    return [
      `root=${Tags.guest}`,
      "rootfstype=virtiofs",
      ...flags,
      "ro",
      "init=/sbin/init",
      ...DIRECTORY_PARAMETERS,
    ];
  }
  if (guest.image === undefined) return KATA_PARAMETERS;
  const { imageFileSystem, imageDevice, imagePartition } = guest;
  const isPmem = imageDevice === "pmem";
  const disk = isPmem ? "/dev/pmem0" : "/dev/vda";
  const partition = imagePartition === 0 ? "" : `${isPmem ? "p" : ""}${imagePartition}`;
  const flags = [
    ...(isPmem ? ["dax"] : []),
    ...(imageFileSystem === "ext4" ? ["data=ordered", "errors=remount-ro"] : []),
  ];
  return [
    `root=${disk}${partition}`,
    `rootfstype=${imageFileSystem}`,
    ...(flags.length === 0 ? [] : [`rootflags=${flags.join(",")}`]),
    "ro",
    ...SYSTEMD_PARAMETERS,
    ...KATA_PARAMETERS,
  ];
}
