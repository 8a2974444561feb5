import { statSync } from "node:fs";
import type { agent } from "../../proto/index.js";
import { GuestPaths } from "./layout.js";
import { isBind } from "./rootfs.js";
import type { Share } from "./share.js";

type Mount = agent.Mount.$Properties;

const SHM = "/dev/shm";

/**
 * Puts what a container's mounts take from the host into the share, and names it as the guest finds it. Mounts that take
 * nothing from the host stay as they are.
 *
 * @throws SysError, Error when a source does not exist
 */
export function shareMounts(share: Share, containerId: string, mounts: readonly Mount[]): Mount[] {
  let count = 0;
  return mounts.map((mount) => {
    const { source = "", destination = "", type = "", options = [] } = mount;
    if (!isBind({ type: type ?? "", options: options ?? [] })) return mount;
    // The pod's shared memory is the guest's.
    if (destination === SHM) return { ...mount, type: "bind", source: GuestPaths.shm, options: ["rbind"] };
    if (isOfTheKernel(source)) return mount;
    const guest = share.bind(source, `${containerId}/volumes/${count++}`, {
      readOnly: options.includes("ro"),
      recursive: options.includes("rbind"),
    });
    return { ...mount, type: "bind", source: guest };
  });
}

/** What a kernel makes is the guest's own in a guest: /proc, /sys, devices. */
function isOfTheKernel(source: string): boolean {
  if (/^\/(proc|sys)(\/|$)/.test(source) || source === "/dev") return true;
  return source.startsWith("/dev/") && !statSync(source).isFile() && !statSync(source).isDirectory();
}
