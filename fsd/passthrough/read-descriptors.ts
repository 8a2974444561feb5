import { close, F_SETSIG, fcntl, O_RDONLY } from "../../lib/sys/file.js";
import { lastErrno } from "../../lib/sys/libc.js";
import type { InodeDescriptors } from "./inode-descriptors.js";
import type { InodeTable } from "./inode-table.js";

/**
 * Tells the library that is preloaded into QEMU that a descriptor is to be mapped read-only, whatever QEMU asks for. A signal number for
 * F_SETSIG stays with the open file description when it goes over a socket, needs no privilege, and QEMU never sets one.
 */
const READ_ONLY_MAP_SIGNAL = 61;
/** Descriptors kept open: what is read or mapped once is mostly wanted again soon, range by range. */
const CAPACITY = 64;

/**
 * Descriptors for reading files and directories that the guest has no handle of: files that are mapped, and everything on a device
 * whose driver does without OPEN. The oldest one makes room for the next.
 */
export class ReadDescriptors {
  /** Slots of the inodes that have one, oldest first from `#next` on; 0 where there is none. */
  readonly #slots = new Uint32Array(CAPACITY);
  #next = 0;

  constructor(
    private readonly inodes: InodeTable,
    private readonly descriptors: InodeDescriptors,
  ) {}

  /**
   * The descriptor of a regular file or a directory, marked for read-only maps; valid until the next call.
   * @returns -errno if it cannot be opened
   */
  of(slot: number): number {
    const known = this.inodes.readFd(slot);
    if (known >= 0) return known;
    const fd = this.descriptors.open(slot, O_RDONLY);
    if (fd < 0) return fd;
    if (fcntl(fd, F_SETSIG, READ_ONLY_MAP_SIGNAL) < 0) {
      const errno = lastErrno();
      close(fd);
      return -errno;
    }
    const oldest = this.#slots[this.#next] ?? 0;
    if (oldest !== 0) this.drop(oldest);
    this.#slots[this.#next] = slot;
    this.#next = (this.#next + 1) % CAPACITY;
    this.inodes.setReadFd(slot, fd);
    return fd;
  }

  /** The table is emptied. */
  dropAll(): void {
    for (const slot of this.#slots) if (slot !== 0) this.drop(slot);
  }

  /** The inode leaves the table. */
  drop(slot: number): void {
    const fd = this.inodes.readFd(slot);
    if (fd < 0) return;
    close(fd);
    this.inodes.setReadFd(slot, -1);
    const index = this.#slots.indexOf(slot);
    if (index >= 0) this.#slots[index] = 0;
  }
}
