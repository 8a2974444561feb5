import { Errno } from "../../lib/sys/errno.js";
import { close, O_CLOEXEC, O_NOFOLLOW, O_PATH, openat } from "../../lib/sys/file.js";
import type { FileHandle } from "../../lib/sys/file-handle.js";
import { lastErrno } from "../../lib/sys/libc.js";
import { Statx } from "../../lib/sys/statx.js";
import { type FsdState, SESSION } from "../state.js";
import type { HandleTable } from "./handle-table.js";
import { InodeFlag } from "./inode-fields.js";
import type { InodeLocators } from "./inode-locators.js";
import type { InodeTable } from "./inode-table.js";
import type { MountTable } from "./mount-table.js";
import type { ProcPath } from "./proc-path.js";

/** Directories have no more above them in any path that the guest could use. */
const DEPTH_MAX = 4096;

/**
 * Descriptors of the inodes that the guest knows. However many inodes those are, only so many descriptors are open: one that was
 * not used for long is closed, and opened again by the inode's locator. An inode that could not be opened again keeps its descriptor.
 */
export class InodeDescriptors {
  readonly #session: DataView;
  /** Slots whose descriptor may be closed; 0 where there is none. */
  readonly #open: Int32Array;
  /** What an inode looks like that was opened again. */
  readonly #statx = new Statx();
  #request = 1;

  /** @param keptMax most inodes that keep their descriptor @param handle overwritten by each call */
  constructor(
    state: FsdState,
    private readonly inodes: InodeTable,
    private readonly locators: InodeLocators,
    private readonly mounts: MountTable,
    private readonly handles: HandleTable,
    private readonly procPath: ProcPath,
    private readonly handle: FileHandle,
    private readonly keptMax: number,
  ) {
    this.#session = state.session;
    this.#open = state.openInodes;
  }

  /** The descriptors that were given out for the last request may be closed from now on. */
  beginRequest(): void {
    this.#request = (this.#request + 1) >>> 0;
  }

  /**
   * An O_PATH descriptor of the inode, which stays the table's and is good until the end of the request.
   * @returns -errno if there is none: ESTALE if the object is gone
   */
  pathFd(slot: number): number {
    let fd = this.inodes.fd(slot);
    if (fd < 0) {
      fd = this.#reopen(slot);
      if (fd === -Errno.ESTALE) fd = this.#openByOpenFile(slot);
      if (fd < 0) return fd;
      if (this.inodes.fd(slot) < 0) this.hold(slot, fd);
    }
    this.inodes.setUsedBy(slot, this.#request);
    this.inodes.setFlag(slot, InodeFlag.isReferenced);
    return fd;
  }

  /**
   * Reads the inode's attributes. One that is found by name need not be opened for that.
   * @returns 0, or -errno
   */
  stat(slot: number, statx: Statx): number {
    if (this.inodes.fd(slot) < 0 && this.#statByName(slot, statx)) return 0;
    const fd = this.pathFd(slot);
    if (fd < 0) return fd;
    return statx.readFd(fd) < 0 ? -lastErrno() : 0;
  }

  /** @returns whether what has the inode's name is the inode for certain, and `statx` tells its attributes */
  #statByName(slot: number, statx: Statx): boolean {
    if (!this.locators.isName(slot) || !this.inodes.hasFlag(slot, InodeFlag.birthIsSettled)) return false;
    const parentFd = this.#directoryOf(slot, 0);
    return (
      parentFd >= 0 &&
      statx.readName(parentFd, this.locators.nameAddress(slot)) === 0 &&
      this.inodes.identity.isLike(slot, statx) &&
      this.mounts.isOn(this.inodes.mount(slot), statx)
    );
  }

  /** Opens a regular file or a directory. @returns a descriptor that the caller closes, or -errno */
  open(slot: number, flags: number): number {
    let fd: number;
    if (this.inodes.fd(slot) < 0 && this.inodes.hasFlag(slot, InodeFlag.isVerified)) {
      this.locators.getHandle(slot, this.handle);
      fd = this.handle.open(this.mounts.fd(this.inodes.mount(slot)), flags);
    } else {
      const pathFd = this.pathFd(slot);
      if (pathFd < 0) return pathFd;
      fd = openat(this.procPath.dir, this.procPath.name(pathFd), flags | O_CLOEXEC, 0);
    }
    return fd < 0 ? -lastErrno() : fd;
  }

  /** Takes over `fd`, an O_PATH descriptor of an inode that can be opened again, until its place is wanted. */
  hold(slot: number, fd: number): void {
    const place = this.#makeRoom();
    this.#open[place] = slot;
    this.inodes.setFd(slot, fd);
  }

  /**
   * Keeps the inode's descriptor open until the guest forgets it: it is about to lose its name, or cannot be opened again.
   * @param fd an O_PATH descriptor to take over, or -1 to use the one that {@link pathFd} gives
   * @returns 0, or -errno: ENFILE if too many are kept; then `fd` is still the caller's
   */
  keep(slot: number, fd = -1): number {
    if (this.inodes.hasFlag(slot, InodeFlag.isKept)) return 0;
    if (this.kept >= this.keptMax) return -Errno.ENFILE;
    if (fd < 0) {
      const own = this.pathFd(slot);
      if (own < 0) return own;
      this.#leaveRing(slot);
    } else {
      this.inodes.setFd(slot, fd);
    }
    this.inodes.setFlag(slot, InodeFlag.isKept);
    this.kept++;
    return 0;
  }

  /** Takes back {@link keep} for an inode that can be opened again after all. */
  unkeep(slot: number): void {
    if (!this.inodes.hasFlag(slot, InodeFlag.isKept) || !this.locators.has(slot)) return;
    this.inodes.clearFlag(slot, InodeFlag.isKept);
    this.kept--;
    this.hold(slot, this.inodes.fd(slot));
  }

  /** The inode leaves the table. */
  drop(slot: number): void {
    const fd = this.inodes.fd(slot);
    if (fd < 0) return;
    close(fd);
    this.inodes.setFd(slot, -1);
    if (this.inodes.hasFlag(slot, InodeFlag.isKept)) this.kept--;
    else this.#leaveRing(slot);
  }

  /** How many inodes keep their descriptor. */
  get kept(): number {
    return this.#session.getUint32(SESSION.inodesKept, true);
  }
  private set kept(count: number) {
    this.#session.setUint32(SESSION.inodesKept, count, true);
  }

  /** Opens the inode by its locator, if that leads to what the guest was told. @returns a descriptor, or -errno */
  #reopen(slot: number, depth = 0): number {
    if (!this.locators.has(slot) || depth > DEPTH_MAX) return -Errno.ESTALE;
    const isName = this.locators.isName(slot);
    const fd = isName ? this.#openByName(slot, depth) : this.#openByHandle(slot);
    if (fd < 0 || this.inodes.hasFlag(slot, InodeFlag.isVerified)) return fd;
    const result = this.#verify(slot, fd, isName);
    if (result === 0) return fd;
    close(fd);
    return result;
  }

  #openByHandle(slot: number): number {
    this.locators.getHandle(slot, this.handle);
    const fd = this.handle.open(this.mounts.fd(this.inodes.mount(slot)), O_PATH | O_NOFOLLOW);
    return fd < 0 ? -lastErrno() : fd;
  }

  #openByName(slot: number, depth: number): number {
    const parentFd = this.#directoryOf(slot, depth);
    if (parentFd < 0) return parentFd;
    const name = this.locators.nameAddress(slot);
    const fd = openat(parentFd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd >= 0) return fd;
    const errno = lastErrno();
    return errno === Errno.ENOENT || errno === Errno.ENOTDIR ? -Errno.ESTALE : -errno;
  }

  /** An O_PATH descriptor of the directory that the inode is found in by name, good until the next call. @returns -errno if there is none */
  #directoryOf(slot: number, depth: number): number {
    const parent = this.locators.parent(slot);
    this.inodes.setFlag(parent, InodeFlag.isReferenced);
    const known = this.inodes.fd(parent);
    if (known >= 0) return known;
    const fd = this.#reopen(parent, depth + 1);
    if (fd >= 0) this.hold(parent, fd);
    return fd;
  }

  /** An inode that lost its name on the host may have been opened by the guest before: then it is usable as long as the guest knows it. */
  #openByOpenFile(slot: number): number {
    const openFd = this.handles.fdOfInode(slot);
    if (openFd < 0) return -Errno.ESTALE;
    const fd = openat(this.procPath.dir, this.procPath.name(openFd), O_PATH | O_CLOEXEC, 0);
    if (fd < 0) return -lastErrno();
    const result = this.#verify(slot, fd, true) || this.keep(slot, fd);
    if (result === 0) return fd;
    close(fd);
    return result;
  }

  /** Whether what was opened is what the guest was told: someone on the host may have changed names meanwhile. @returns 0, or -errno */
  #verify(slot: number, fd: number, isName: boolean): number {
    if (this.#statx.readFd(fd) < 0) return -lastErrno();
    if (!this.inodes.identity.isLike(slot, this.#statx)) return -Errno.ESTALE;
    if (isName) {
      if (!this.mounts.isOn(this.inodes.mount(slot), this.#statx)) return -Errno.ESTALE;
      if (!this.inodes.hasFlag(slot, InodeFlag.birthIsSettled)) {
        if (this.handle.readFd(fd) < 0) return -lastErrno();
        if (!this.inodes.identity.hasPrint(slot, this.handle)) return -Errno.ESTALE;
      }
    } else {
      this.inodes.setFlag(slot, InodeFlag.isVerified);
    }
    this.inodes.identity.noteExists(slot);
    return 0;
  }

  /** A free place among the open ones; a descriptor that was not used of late is closed for it. */
  #makeRoom(): number {
    const open = this.#open;
    let hand = this.#session.getUint32(SESSION.openInodesHand, true);
    // Two rounds: the first one may find only descriptors that were used since the one before.
    for (let tries = 0; tries < 2 * open.length; tries++) {
      const place = hand;
      hand = hand + 1 === open.length ? 0 : hand + 1;
      const slot = open[place] ?? 0;
      if (slot !== 0) {
        if (this.inodes.usedBy(slot) === this.#request) continue;
        if (this.inodes.hasFlag(slot, InodeFlag.isReferenced)) {
          this.inodes.clearFlag(slot, InodeFlag.isReferenced);
          continue;
        }
        // While it is open it is what was entered.
        this.inodes.identity.noteExists(slot);
        close(this.inodes.fd(slot));
        this.inodes.setFd(slot, -1);
      }
      this.#session.setUint32(SESSION.openInodesHand, hand, true);
      return place;
    }
    throw new RangeError("one request uses more inodes than may be open");
  }

  #leaveRing(slot: number): void {
    const place = this.#open.indexOf(slot);
    if (place >= 0) this.#open[place] = 0;
  }
}
