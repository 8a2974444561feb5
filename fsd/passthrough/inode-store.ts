import { Errno } from "../../lib/sys/errno.js";
import {
  close,
  fstatfs,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openat,
  S_IFDIR,
  S_IFREG,
  ST_RDONLY,
} from "../../lib/sys/file.js";
import { FileHandle } from "../../lib/sys/file-handle.js";
import { addressOf, lastErrno } from "../../lib/sys/libc.js";
import type { Statx } from "../../lib/sys/statx.js";
import type { FsdMetrics } from "../metrics.js";
import type { FsdState } from "../state.js";
import { InodeDescriptors } from "./inode-descriptors.js";
import { InodeLocators } from "./inode-locators.js";
import { InodeTable, ROOT_SLOT } from "./inode-table.js";
import { MountFlag, MountTable } from "./mount-table.js";
import type { ProcPath } from "./proc-path.js";
import type { InodeFileHandles } from "./share-policy.js";

/** In place of the address of a name: the descriptor itself is meant. */
const NO_NAME = 0;

/** File systems whose handles find an inode only while it is in memory, or give it another number afterwards: FUSE, FAT, exFAT. */
const WITHOUT_LASTING_HANDLES: ReadonlySet<number> = new Set([0x65735546, 0x4d44, 0x2011bab0]);

// struct statfs.
const F_TYPE = 0;
const F_FLAGS = 80;
const STATFS_BYTES = 120;

/** The inodes that the guest knows: how what is found on the host becomes one of them, and how it is found again. See docs/inodes.md. */
export class InodeStore {
  readonly inodes: InodeTable;
  readonly mounts: MountTable;
  readonly descriptors: InodeDescriptors;
  readonly #locators: InodeLocators;
  readonly #handle = new FileHandle();
  /** Whether `#handle` is that of the object that `statx` describes. */
  #handleIsRead = false;

  /**
   * @param statx filled by each call that finds an inode
   * @param keptMax most inodes that keep a descriptor, because they could not be opened again
   */
  constructor(
    state: FsdState,
    private readonly statx: Statx,
    private readonly procPath: ProcPath,
    private readonly metrics: FsdMetrics,
    private readonly fileHandles: InodeFileHandles,
    keptMax: number,
  ) {
    this.inodes = new InodeTable(state);
    this.mounts = new MountTable(state);
    this.#locators = new InodeLocators(state);
    this.descriptors = new InodeDescriptors(
      state,
      this.inodes,
      this.#locators,
      this.mounts,
      procPath,
      this.#handle,
      keptMax,
    );
  }

  /** Enters the root into an empty table. @param fd an O_PATH descriptor of it, taken over @returns 0, or -errno */
  enterRoot(fd: number, zone: number): number {
    const slot = this.#enter(fd, 0, zone);
    if (slot < 0) return slot;
    if (slot !== ROOT_SLOT) throw new RangeError("the inode table is not empty");
    // The guest has not asked for it, and everything else is reached through it.
    this.metrics.inodesLive = 0;
    return this.descriptors.keep(slot);
  }

  /**
   * Finds the name in the directory whose slot is `parent` and counts one more reference of the guest.
   * @returns the slot, or -errno
   */
  lookup(parent: number, nameAddress: number, zone: number): number {
    const parentFd = this.descriptors.pathFd(parent);
    if (parentFd < 0) return parentFd;
    if (this.statx.readName(parentFd, nameAddress) < 0) return -lastErrno();
    const mount = this.mounts.find(this.statx, zone, this.inodes.mount(parent));
    if (mount >= 0) {
      const device = this.mounts.device(this.statx, this.inodes.device(parent));
      if (device < 0) return -Errno.ENFILE;
      const known = this.#identify(mount, device, parentFd, nameAddress);
      if (known > 0) return this.#count(known);
      if (this.#hasHandle(mount, parentFd, nameAddress)) return this.#insert(mount, device);
    }
    const fd = openat(parentFd, nameAddress, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    return fd < 0 ? -lastErrno() : this.#enter(fd, parent, zone);
  }

  /** The inode that has the name in the directory, if the guest knows it; `statx` tells its attributes then. @returns 0 if not */
  findKnown(parent: number, nameAddress: number, zone: number): number {
    const parentFd = this.descriptors.pathFd(parent);
    if (parentFd < 0 || this.statx.readName(parentFd, nameAddress) < 0) return 0;
    const mount = this.mounts.find(this.statx, zone, this.inodes.mount(parent));
    if (mount < 0) return 0;
    const device = this.mounts.device(this.statx, this.inodes.device(parent));
    return device < 0 ? 0 : this.#identify(mount, device, parentFd, nameAddress);
  }

  /**
   * Puts the object behind `fd`, any descriptor of it, into the table and counts one reference of the guest.
   * @param near the slot of its parent
   * @returns the slot, or -errno
   */
  adopt(fd: number, near: number, zone: number): number {
    if (this.statx.readFd(fd) < 0) return -lastErrno();
    const mount = this.mounts.find(this.statx, zone, this.inodes.mount(near));
    if (mount >= 0 && (this.mounts.flags(mount) & MountFlag.handles) !== 0) {
      const device = this.mounts.device(this.statx, this.inodes.device(near));
      if (device < 0) return -Errno.ENFILE;
      const known = this.#identify(mount, device, fd, NO_NAME);
      if (known > 0) return this.#count(known);
      if (this.#hasHandle(mount, fd, NO_NAME)) return this.#insert(mount, device);
    }
    const pathFd = openat(this.procPath.dir, this.procPath.name(fd), O_PATH | O_CLOEXEC, 0);
    return pathFd < 0 ? -lastErrno() : this.#enter(pathFd, near, zone);
  }

  /** Takes the inode out of the table. */
  drop(slot: number): void {
    this.descriptors.drop(slot);
    this.#locators.drop(slot);
    this.mounts.count(this.inodes.mount(slot), -1);
    this.inodes.remove(slot);
    if (slot !== ROOT_SLOT) this.metrics.inodesLive--;
  }

  /** Like {@link adopt}, with an O_PATH descriptor that is taken over, and for objects on mounts that are not in the table yet. */
  #enter(fd: number, near: number, zone: number): number {
    if (this.statx.readFd(fd) < 0) return this.#refuse(fd, lastErrno());
    let mount = this.mounts.find(this.statx, zone, near === 0 ? 0 : this.inodes.mount(near));
    if (mount < 0) mount = this.#enterMount(fd, zone);
    const device = this.mounts.device(this.statx, near === 0 ? 0 : this.inodes.device(near));
    if (mount < 0 || device < 0) return this.#refuse(fd, Errno.ENFILE);
    const known = this.#identify(mount, device, fd, NO_NAME);
    if (known > 0) {
      if (this.inodes.fd(known) < 0) this.descriptors.hold(known, fd);
      else close(fd);
      return this.#count(known);
    }
    const hasHandle = this.#hasHandle(mount, fd, NO_NAME);
    if (!hasHandle && this.fileHandles === "mandatory") return this.#refuse(fd, Errno.EOPNOTSUPP);
    const slot = this.#insert(mount, device);
    if (slot < 0) return this.#refuse(fd, -slot);
    if (hasHandle) {
      this.descriptors.hold(slot, fd);
      return slot;
    }
    const kept = this.descriptors.keep(slot, fd);
    if (kept === 0) return slot;
    this.drop(slot);
    return this.#refuse(fd, -kept);
  }

  /**
   * The inode of the table that `statx` describes, or 0. Where numbers and times leave it open, the file handle decides: that of the
   * name in the directory `fd`, or of `fd` itself without a name.
   */
  #identify(mount: number, device: number, fd: number, nameAddress: number): number {
    this.#handleIsRead = false;
    let slot = this.inodes.find(this.statx, mount, device);
    while (slot !== 0) {
      const likeness = this.inodes.compare(slot, this.statx);
      if (likeness === "same") return slot;
      if (
        likeness === "unsure" &&
        this.#hasHandle(mount, fd, nameAddress) &&
        this.#locators.isHandle(slot, this.#handle)
      ) {
        this.inodes.noteExists(slot);
        return slot;
      }
      slot = this.inodes.find(this.statx, mount, device, slot);
    }
    return 0;
  }

  /** Reads the handle of what `statx` describes, unless {@link #identify} has done so. @returns whether there is one */
  #hasHandle(mount: number, fd: number, nameAddress: number): boolean {
    if ((this.mounts.flags(mount) & MountFlag.handles) === 0) return false;
    if (this.#handleIsRead) return true;
    const result = nameAddress === NO_NAME ? this.#handle.readFd(fd) : this.#handle.readName(fd, nameAddress);
    // On another mount: something was mounted there between the two calls. Then it is opened and looked at as a whole.
    this.#handleIsRead = result === 0 && this.#handle.mountId === this.statx.mountIdLow;
    return this.#handleIsRead;
  }

  /** Enters what `statx` describes, with its handle if that was read, and one reference. @returns the slot, or -errno */
  #insert(mount: number, device: number): number {
    const slot = this.inodes.insert(this.statx, mount, device);
    if (slot === 0) return -Errno.ENFILE;
    if (this.#handleIsRead && !this.#locators.setHandle(slot, this.#handle)) {
      this.inodes.remove(slot);
      return -Errno.ENFILE;
    }
    this.mounts.count(mount, 1);
    this.metrics.inodesLive++;
    return this.#count(slot);
  }

  #count(slot: number): number {
    this.inodes.setLookups(slot, this.inodes.lookups(slot) + 1);
    return slot;
  }

  /** Enters the mount that `fd`, an O_PATH descriptor of anything on it, is on. @returns its index, or -1 */
  #enterMount(fd: number, zone: number): number {
    const statfs = new DataView(new ArrayBuffer(STATFS_BYTES));
    const isKnown = fstatfs(fd, addressOf(statfs)) === 0;
    const isReadOnly = isKnown && (statfs.getUint32(F_FLAGS, true) & ST_RDONLY) !== 0;
    const index = this.mounts.insert(this.statx, zone, isReadOnly ? MountFlag.readOnly : 0);
    const mayLast = isKnown && !WITHOUT_LASTING_HANDLES.has(statfs.getUint32(F_TYPE, true));
    if (index < 0 || !mayLast || this.fileHandles === "never") return index;
    const mountFd = this.#openMount(fd);
    if (mountFd < 0) return index;
    this.mounts.setFd(index, mountFd);
    this.mounts.setFlag(index, MountFlag.handles);
    return index;
  }

  /** A descriptor for opening inodes of the mount by their handles, if that works. @returns -1 if it does not */
  #openMount(fd: number): number {
    const { type } = this.statx;
    if (type !== S_IFDIR && type !== S_IFREG) return -1;
    const flags = O_RDONLY | O_CLOEXEC | (type === S_IFDIR ? O_DIRECTORY : 0);
    const mountFd = openat(this.procPath.dir, this.procPath.name(fd), flags, 0);
    if (mountFd < 0) return -1;
    if (this.#handle.readFd(fd) === 0 && this.#handle.mountId === this.statx.mountIdLow) {
      const again = this.#handle.open(mountFd, O_PATH);
      if (again >= 0) {
        close(again);
        return mountFd;
      }
    }
    // No handles here, or no CAP_DAC_READ_SEARCH in the user namespace that mounted it.
    close(mountFd);
    return -1;
  }

  #refuse(fd: number, errno: number): number {
    close(fd);
    return -errno;
  }
}
