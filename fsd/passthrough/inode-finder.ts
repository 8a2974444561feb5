import type { FileHandle } from "../../lib/sys/file-handle.js";
import type { Statx } from "../../lib/sys/statx.js";
import type { InodeLocators } from "./inode-locators.js";
import type { InodeTable } from "./inode-table.js";
import { MountFlag, type MountTable } from "./mount-table.js";

/** In place of the address of a name: the descriptor itself is meant. */
export const NO_NAME = 0;

/** Finds which of the inodes that the guest knows something on the host is. */
export class InodeFinder {
  /** Whether `handle` is that of the object that `statx` describes. */
  #handleIsRead = false;

  /** @param handle overwritten by each call */
  constructor(
    private readonly inodes: InodeTable,
    private readonly locators: InodeLocators,
    private readonly mounts: MountTable,
    private readonly statx: Statx,
    private readonly handle: FileHandle,
  ) {}

  /**
   * The inode of the table that `statx` describes, or 0. Where numbers and times leave it open, the file handle decides: that of the
   * name in the directory `fd`, or of `fd` itself without a name.
   */
  find(mount: number, device: number, fd: number, nameAddress: number): number {
    this.#handleIsRead = false;
    let slot = this.inodes.find(this.statx, mount, device);
    while (slot !== 0) {
      const likeness = this.inodes.identity.compare(slot, this.statx);
      if (likeness === "same") return slot;
      if (
        likeness === "unsure" &&
        this.hasHandle(mount, fd, nameAddress) &&
        (this.inodes.identity.hasPrint(slot, this.handle) || this.locators.isHandle(slot, this.handle))
      ) {
        this.inodes.identity.noteExists(slot);
        return slot;
      }
      slot = this.inodes.find(this.statx, mount, device, slot);
    }
    return 0;
  }

  /** Reads the handle of what `statx` describes, unless {@link find} has done so. @returns whether there is one */
  hasHandle(mount: number, fd: number, nameAddress: number): boolean {
    if ((this.mounts.flags(mount) & (MountFlag.handles | MountFlag.names)) === 0) return false;
    if (this.#handleIsRead) return true;
    const result = nameAddress === NO_NAME ? this.handle.readFd(fd) : this.handle.readName(fd, nameAddress);
    // On another mount: something was mounted there between the two calls. Then it is opened and looked at as a whole.
    this.#handleIsRead = result === 0 && this.handle.mountId === this.statx.mountIdLow;
    return this.#handleIsRead;
  }
}
