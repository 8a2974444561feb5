import { O_CLOEXEC, openat } from "../../lib/sys/file.js";
import { lastErrno } from "../../lib/sys/libc.js";
import type { InodeTable } from "./inode-table.js";
import type { ProcPath } from "./proc-path.js";

/** Descriptors of the inodes that the guest knows. */
export class InodeDescriptors {
  constructor(
    private readonly inodes: InodeTable,
    private readonly procPath: ProcPath,
  ) {}

  /**
   * An O_PATH descriptor of the inode, which stays the table's and is good until the end of the request.
   * @returns -errno if there is none
   */
  pathFd(slot: number): number {
    return this.inodes.fd(slot);
  }

  /** Opens a regular file or a directory. @returns a descriptor that the caller closes, or -errno */
  open(slot: number, flags: number): number {
    const pathFd = this.pathFd(slot);
    if (pathFd < 0) return pathFd;
    const fd = openat(this.procPath.dir, this.procPath.name(pathFd), flags | O_CLOEXEC, 0);
    return fd < 0 ? -lastErrno() : fd;
  }
}
