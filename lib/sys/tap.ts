import { closeSync, constants, openSync } from "node:fs";
import { ioctl } from "./file.js";
import { addressOf, check } from "./libc.js";

const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x2;
const IFF_NO_PI = 0x1000;
/** Each packet has a struct virtio_net_hdr before it: checksums and segments may be left to whoever needs them at last. */
const IFF_VNET_HDR = 0x4000;

/** Made by the kernel's module tun. */
export const TUN_DEVICE = "/dev/net/tun";

/** struct ifreq: the name in 16 bytes, then a union of which we use 16 bits of flags. */
const IFREQ_BYTES = 40;
const IFREQ_FLAGS_OFFSET = 16;
const IFNAMSIZ = 16;

/**
 * Makes a tap interface in the network namespace of the calling thread, for a virtio-net device. It is there as long as the descriptor is open.
 *
 * @returns the descriptor, close-on-exec and non-blocking @throws SysError EBUSY when the name is taken; as Node does when there is no {@link TUN_DEVICE}
 */
export function openTap(name: string): number {
  const fd = openSync(TUN_DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const ifreq = Buffer.alloc(IFREQ_BYTES);
    ifreq.write(name.slice(0, IFNAMSIZ - 1), "latin1");
    ifreq.writeInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, IFREQ_FLAGS_OFFSET);
    check(ioctl(fd, TUNSETIFF, addressOf(ifreq)), "ioctl TUNSETIFF", name);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
