import {
  close,
  fstatfs,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  openat,
  S_IFDIR,
  S_IFREG,
  ST_RDONLY,
} from "../../lib/sys/file.js";
import type { FileHandle } from "../../lib/sys/file-handle.js";
import { addressOf } from "../../lib/sys/libc.js";
import type { Statx } from "../../lib/sys/statx.js";
import { MountFlag, type MountTable } from "./mount-table.js";
import type { ProcPath } from "./proc-path.js";
import type { InodeFileHandles } from "./share-policy.js";

// File systems by f_type of statfs(2).
const OVERLAYFS_MAGIC = 0x794c7630;
/** Those whose inodes get another number when they were out of memory, or may get one: FUSE, FAT, exFAT. */
const WITHOUT_LASTING_NUMBERS: ReadonlySet<number> = new Set([0x65735546, 0x4d44, 0x2011bab0]);

// struct statfs.
const F_TYPE = 0;
const F_FLAGS = 80;
const STATFS_BYTES = 120;

/** Finds out, when the first inode of a mount is met, how inodes on it are found again. */
export class MountProbe {
  /**
   * @param statx describes the inode that is met
   * @param handle is overwritten
   */
  constructor(
    private readonly mounts: MountTable,
    private readonly statx: Statx,
    private readonly handle: FileHandle,
    private readonly procPath: ProcPath,
    private readonly fileHandles: InodeFileHandles,
  ) {}

  /** Enters the mount that `fd`, an O_PATH descriptor of anything on it, is on. @returns its index, or -1 */
  enter(fd: number, zone: number): number {
    const statfs = new DataView(new ArrayBuffer(STATFS_BYTES));
    if (fstatfs(fd, addressOf(statfs)) < 0) return this.mounts.insert(this.statx, zone, 0);
    const fsType = statfs.getUint32(F_TYPE, true);
    const isReadOnly = (statfs.getUint32(F_FLAGS, true) & ST_RDONLY) !== 0;
    const index = this.mounts.insert(this.statx, zone, isReadOnly ? MountFlag.readOnly : 0);
    if (index < 0 || WITHOUT_LASTING_NUMBERS.has(fsType)) return index;
    const encodes = this.handle.readFd(fd) === 0 && this.handle.mountId === this.statx.mountIdLow;
    if (!encodes) return index;
    if (fsType === OVERLAYFS_MAGIC) this.mounts.setFlag(index, MountFlag.birthChanges);
    const mountFd = this.fileHandles === "never" ? -1 : this.#openMount(fd);
    if (mountFd >= 0) {
      this.mounts.setFd(index, mountFd);
      this.mounts.setFlag(index, MountFlag.handles);
    } else {
      // An open descriptor keeps the mount's id from being given to another one.
      this.mounts.setFd(index, openat(this.procPath.dir, this.procPath.name(fd), O_PATH | O_CLOEXEC, 0));
      if (this.mounts.fd(index) >= 0) this.mounts.setFlag(index, MountFlag.names);
    }
    return index;
  }

  /** A descriptor that the handle, which is that of `fd`, can be opened by. @returns -1 if it cannot */
  #openMount(fd: number): number {
    const { type } = this.statx;
    if (type !== S_IFDIR && type !== S_IFREG) return -1;
    const flags = O_RDONLY | O_CLOEXEC | (type === S_IFDIR ? O_DIRECTORY : 0);
    const mountFd = openat(this.procPath.dir, this.procPath.name(fd), flags, 0);
    if (mountFd < 0) return -1;
    const again = this.handle.open(mountFd, O_PATH);
    // Handles of that kind cannot be opened, or CAP_DAC_READ_SEARCH is missing in the user namespace that mounted it.
    if (again < 0) close(mountFd);
    else close(again);
    return again < 0 ? -1 : mountFd;
  }
}
