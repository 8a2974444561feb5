import { Errno } from "../../lib/sys/errno.js";
import { close, O_CLOEXEC, O_NOFOLLOW, O_PATH, openat } from "../../lib/sys/file.js";
import { FileHandle } from "../../lib/sys/file-handle.js";
import { lastErrno } from "../../lib/sys/libc.js";
import type { Statx } from "../../lib/sys/statx.js";
import type { FsdMetrics } from "../metrics.js";
import type { FsdState } from "../state.js";
import type { HandleTable } from "./handle-table.js";
import { InodeDescriptors } from "./inode-descriptors.js";
import { InodeFlag } from "./inode-fields.js";
import { InodeFinder, NO_NAME } from "./inode-finder.js";
import { InodeLocators, type NameSource } from "./inode-locators.js";
import { InodeReferences } from "./inode-references.js";
import { InodeTable, ROOT_SLOT } from "./inode-table.js";
import { MountProbe } from "./mount-probe.js";
import { MountFlag, MountTable } from "./mount-table.js";
import type { ProcPath } from "./proc-path.js";
import type { InodeFileHandles } from "./share-policy.js";

/** The inodes that the guest knows: how what is found on the host becomes one of them, and how it is found again. See docs/inodes.md. */
export class InodeStore {
  readonly inodes: InodeTable;
  readonly mounts: MountTable;
  readonly descriptors: InodeDescriptors;
  readonly #locators: InodeLocators;
  readonly #mountProbe: MountProbe;
  readonly #handle = new FileHandle();
  readonly #finder: InodeFinder;
  readonly #references: InodeReferences;

  /**
   * @param statx filled by each call that finds an inode
   * @param keptMax most inodes that keep a descriptor, because they could not be opened again
   */
  constructor(
    state: FsdState,
    handles: HandleTable,
    private readonly statx: Statx,
    private readonly procPath: ProcPath,
    private readonly metrics: FsdMetrics,
    private readonly fileHandles: InodeFileHandles,
    keptMax: number,
  ) {
    this.inodes = new InodeTable(state);
    this.mounts = new MountTable(state);
    this.#locators = new InodeLocators(state);
    this.#mountProbe = new MountProbe(this.mounts, statx, this.#handle, procPath, fileHandles);
    this.descriptors = new InodeDescriptors(
      state,
      this.inodes,
      this.#locators,
      this.mounts,
      handles,
      procPath,
      this.#handle,
      keptMax,
    );
    this.#finder = new InodeFinder(this.inodes, this.#locators, this.mounts, statx, this.#handle);
    this.#references = new InodeReferences(
      this.inodes,
      this.#locators,
      this.mounts,
      this.descriptors,
      metrics,
    );
  }

  /** Enters the root into an empty table. @param fd an O_PATH descriptor of it, taken over @returns 0, or -errno */
  enterRoot(fd: number, zone: number): number {
    const slot = this.#enter(fd, 0, zone, null, 0);
    if (slot < 0) return slot;
    if (slot !== ROOT_SLOT) throw new RangeError("the inode table is not empty");
    // The guest has not asked for it, and everything else is reached through it.
    this.metrics.inodesLive--;
    return this.descriptors.keep(slot);
  }

  /**
   * Finds the name at `offset` of `source` in the directory whose slot is `parent`, and counts one more reference of the guest.
   * @returns the slot, or -errno
   */
  lookup(parent: number, source: NameSource, offset: number, zone: number): number {
    const parentFd = this.descriptors.pathFd(parent);
    if (parentFd < 0) return parentFd;
    const nameAddress = source.address + offset;
    if (this.statx.readName(parentFd, nameAddress) < 0) return -lastErrno();
    const mount = this.mounts.find(this.statx, zone, this.inodes.mount(parent));
    if (mount >= 0) {
      const device = this.mounts.device(this.statx, this.inodes.device(parent));
      if (device < 0) return -Errno.ENFILE;
      const known = this.#finder.find(mount, device, parentFd, nameAddress);
      if (known > 0) {
        this.setName(known, parent, source, offset);
        return this.#references.count(known);
      }
      const slot = this.#insertLocated(mount, device, parentFd, nameAddress, parent, source, offset);
      if (slot !== 0) return slot;
    }
    const fd = openat(parentFd, nameAddress, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    return fd < 0 ? -lastErrno() : this.#enter(fd, parent, zone, source, offset);
  }

  /**
   * The inode that has the name in the directory, if the guest knows it; `statx` tells its attributes then. @returns 0 if not
   */
  findKnown(parent: number, nameAddress: number, zone: number): number {
    const parentFd = this.descriptors.pathFd(parent);
    if (parentFd < 0 || this.statx.readName(parentFd, nameAddress) < 0) return 0;
    const mount = this.mounts.find(this.statx, zone, this.inodes.mount(parent));
    if (mount < 0) return 0;
    const device = this.mounts.device(this.statx, this.inodes.device(parent));
    return device < 0 ? 0 : this.#finder.find(mount, device, parentFd, nameAddress);
  }

  /**
   * Puts the object behind `fd`, any descriptor of it, into the table and counts one reference of the guest.
   * @param near the slot of its parent
   * @param source has its name there at `offset`; null for an object without a name
   * @returns the slot, or -errno
   */
  adopt(fd: number, near: number, zone: number, source: NameSource | null, offset: number): number {
    if (this.statx.readFd(fd) < 0) return -lastErrno();
    const mount = this.mounts.find(this.statx, zone, this.inodes.mount(near));
    if (mount >= 0) {
      const device = this.mounts.device(this.statx, this.inodes.device(near));
      if (device < 0) return -Errno.ENFILE;
      const known = this.#finder.find(mount, device, fd, NO_NAME);
      if (known > 0) return this.#references.count(known);
      const slot = this.#insertLocated(mount, device, fd, NO_NAME, near, source, offset);
      if (slot !== 0) return slot;
    }
    const pathFd = openat(this.procPath.dir, this.procPath.name(fd), O_PATH | O_CLOEXEC, 0);
    return pathFd < 0 ? -lastErrno() : this.#enter(pathFd, near, zone, source, offset);
  }

  /** Whether inodes of the directory's mount are found again by name, so that {@link setName} must be told when they get another one. */
  usesNames(parent: number): boolean {
    return (this.mounts.flags(this.inodes.mount(parent)) & MountFlag.names) !== 0;
  }

  /** Whether that name is the one by which the inode is found again. */
  isFoundBy(slot: number, parent: number, source: NameSource, offset: number): boolean {
    return this.#locators.isNameIn(slot, parent, source, offset);
  }

  /** Notes the name, at `offset` of `source`, by which an inode is found again that is found by name. */
  setName(slot: number, parent: number, source: NameSource, offset: number): void {
    if (!this.#locators.isName(slot) || this.#locators.isNameIn(slot, parent, source, offset)) return;
    // Where the host has moved directories about, what is known of them may contradict itself; no way shall lead in a circle.
    for (let above = parent; above !== 0; above = this.#locators.parent(above)) if (above === slot) return;
    const before = this.#locators.parent(slot);
    if (!this.#locators.setName(slot, parent, source, offset)) return;
    this.inodes.countChildren(parent, 1);
    this.#references.leave(before);
  }

  /** The guest has no references any more: the inode leaves the table, unless others are found by a name in it. */
  forget(slot: number): void {
    this.#references.forget(slot);
  }

  /** Empties the table but for the root. */
  clear(): void {
    for (let slot = this.inodes.next(ROOT_SLOT); slot !== 0; slot = this.inodes.next(slot)) this.forget(slot);
  }

  /** Gives back the root's descriptors. The table is of no use afterwards. */
  close(): void {
    this.clear();
    this.#references.drop(ROOT_SLOT);
  }

  /** Like {@link adopt}, with an O_PATH descriptor that is taken over, and for objects on mounts that are not in the table yet. */
  #enter(fd: number, near: number, zone: number, source: NameSource | null, offset: number): number {
    if (this.statx.readFd(fd) < 0) return this.#refuse(fd, lastErrno());
    let mount = this.mounts.find(this.statx, zone, near === 0 ? 0 : this.inodes.mount(near));
    if (mount < 0) mount = this.#mountProbe.enter(fd, zone);
    const device = this.mounts.device(this.statx, near === 0 ? 0 : this.inodes.device(near));
    if (mount < 0 || device < 0) return this.#refuse(fd, Errno.ENFILE);
    const known = this.#finder.find(mount, device, fd, NO_NAME);
    if (known > 0) {
      if (this.inodes.fd(known) < 0) this.descriptors.hold(known, fd);
      else close(fd);
      return this.#references.count(known);
    }
    let slot = this.#insertLocated(mount, device, fd, NO_NAME, near, source, offset);
    if (slot > 0) {
      this.descriptors.hold(slot, fd);
      return slot;
    }
    if (slot === 0) {
      if (this.fileHandles === "mandatory") return this.#refuse(fd, Errno.EOPNOTSUPP);
      slot = this.#insert(mount, device);
    }
    if (slot < 0) return this.#refuse(fd, -slot);
    const kept = this.descriptors.keep(slot, fd);
    if (kept === 0) return slot;
    this.#references.drop(slot);
    return this.#refuse(fd, -kept);
  }

  /**
   * Enters what `statx` describes, one reference counted, if it can be opened again: by its handle, or by a name in `parent`.
   * @param fd a directory, with the address of a name in it; or the object's own descriptor, and NO_NAME
   * @returns the slot, or -errno; or 0 if only a descriptor will do
   */
  #insertLocated(
    mount: number,
    device: number,
    fd: number,
    nameAddress: number,
    parent: number,
    source: NameSource | null,
    offset: number,
  ): number {
    const flags = this.mounts.flags(mount);
    if ((flags & MountFlag.handles) !== 0) {
      if (!this.#finder.hasHandle(mount, fd, nameAddress)) return 0;
      const slot = this.#insert(mount, device);
      if (slot < 0 || this.#locators.setHandle(slot, this.#handle)) return slot;
      this.#references.drop(slot);
      return -Errno.ENFILE;
    }
    if ((flags & MountFlag.names) === 0 || source === null) return 0;
    const slot = this.#insert(mount, device);
    if (slot < 0) return slot;
    if (!this.inodes.hasFlag(slot, InodeFlag.birthIsSettled)) {
      // Another inode with its number could have the same time of birth.
      if (!this.#finder.hasHandle(mount, fd, nameAddress)) {
        this.#references.drop(slot);
        return 0;
      }
      this.inodes.identity.setPrint(slot, this.#handle);
    }
    if (!this.#locators.setName(slot, parent, source, offset)) {
      this.#references.drop(slot);
      return -Errno.ENFILE;
    }
    this.inodes.countChildren(parent, 1);
    return slot;
  }

  /** Enters what `statx` describes, with one reference and no way to be opened again. @returns the slot, or -errno */
  #insert(mount: number, device: number): number {
    const hasBirth = (this.mounts.flags(mount) & MountFlag.birthChanges) === 0;
    const slot = this.inodes.insert(this.statx, mount, device, hasBirth);
    if (slot === 0) return -Errno.ENFILE;
    this.mounts.count(mount, 1);
    this.metrics.inodesLive++;
    return this.#references.count(slot);
  }

  #refuse(fd: number, errno: number): number {
    close(fd);
    return -errno;
  }
}
