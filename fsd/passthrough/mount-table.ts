import { close } from "../../lib/sys/file.js";
import type { Statx } from "../../lib/sys/statx.js";
import { DEVICE, type FsdState, MOUNT } from "../state.js";

/** What is known of a mount. Bits, stored with it. */
export const MountFlag = {
  /** Nothing on it may be changed. */
  readOnly: 1,
  /** Its inodes have file handles that can be opened. */
  handles: 2,
  /** Its inodes are found again by name: they tell their birth or have file handles, which cannot be opened. */
  names: 4,
  /** The time of birth of an inode may change: it is that of a copy which is made at the first write. */
  birthChanges: 8,
} as const;

/**
 * The mounts and file systems that inodes of the table are on, by index. A mount whose directories are in several zones of the exports has
 * a record for each: inodes on different records are different to the guest, and each has one policy. An index of a mount is free
 * again when its last inode is gone; file systems stay, so that inode numbers made from their index never change.
 */
export class MountTable {
  readonly #mounts: DataView;
  readonly #mountCapacity: number;
  readonly #devices: DataView;
  readonly #deviceCapacity: number;

  constructor(state: FsdState) {
    this.#mounts = state.mounts;
    this.#mountCapacity = state.mounts.byteLength / MOUNT.bytes;
    this.#devices = state.devices;
    this.#deviceCapacity = state.devices.byteLength / DEVICE.bytes;
  }

  /** The index of the part of the mount that `statx` names, looked for at `guess` first; -1 if it is not in the table. */
  find(statx: Statx, zone: number, guess: number): number {
    if (this.#isMount(guess, statx, zone)) return guess;
    for (let index = 0; index < this.#mountCapacity; index++) {
      if (this.#isMount(index, statx, zone)) return index;
    }
    return -1;
  }

  /** Adds a part of the mount that `statx` names, without inodes. @returns its index, or -1 if the table is full. */
  insert(statx: Statx, zone: number, flags: number): number {
    for (let index = 0; index < this.#mountCapacity; index++) {
      const record = index * MOUNT.bytes;
      if (this.#mounts.getUint32(record + MOUNT.inodes, true) !== 0) continue;
      this.#mounts.setUint32(record + MOUNT.idLow, statx.mountIdLow, true);
      this.#mounts.setUint32(record + MOUNT.idHigh, statx.mountIdHigh, true);
      this.#mounts.setUint32(record + MOUNT.flags, flags, true);
      this.#mounts.setUint32(record + MOUNT.zone, zone, true);
      this.setFd(index, -1);
      return index;
    }
    return -1;
  }

  /** Counts an inode that came (`change` 1) to the mount or left it (-1). */
  count(index: number, change: 1 | -1): void {
    const record = index * MOUNT.bytes;
    const inodes = this.#mounts.getUint32(record + MOUNT.inodes, true) + change;
    this.#mounts.setUint32(record + MOUNT.inodes, inodes, true);
    if (inodes === 0) this.setFd(index, -1);
  }

  /** The indices of mounts on which something may be changed and of which there is a descriptor. */
  *writable(): Generator<number> {
    for (let index = 0; index < this.#mountCapacity; index++) {
      const isWritable = (this.flags(index) & MountFlag.readOnly) === 0;
      if (isWritable && this.fd(index) >= 0) yield index;
    }
  }

  /** A descriptor of the mount, or -1: one that handles can be opened by, with MountFlag.handles. */
  fd(index: number): number {
    return this.#mounts.getInt32(index * MOUNT.bytes + MOUNT.fdPlusOne, true) - 1;
  }
  /** Takes over `fd`; the one before is closed. */
  setFd(index: number, fd: number): void {
    const before = this.fd(index);
    if (before >= 0) close(before);
    this.#mounts.setInt32(index * MOUNT.bytes + MOUNT.fdPlusOne, fd + 1, true);
  }

  setFlag(index: number, flag: number): void {
    this.#mounts.setUint32(index * MOUNT.bytes + MOUNT.flags, this.flags(index) | flag, true);
  }
  flags(index: number): number {
    return this.#mounts.getUint32(index * MOUNT.bytes + MOUNT.flags, true);
  }

  /** Whether two records are parts of one mount. */
  isSame(a: number, b: number): boolean {
    if (a === b) return true;
    const [first, second] = [a * MOUNT.bytes, b * MOUNT.bytes];
    return (
      this.#mounts.getUint32(first + MOUNT.idLow, true) ===
        this.#mounts.getUint32(second + MOUNT.idLow, true) &&
      this.#mounts.getUint32(first + MOUNT.idHigh, true) ===
        this.#mounts.getUint32(second + MOUNT.idHigh, true)
    );
  }

  zone(index: number): number {
    return this.#mounts.getUint32(index * MOUNT.bytes + MOUNT.zone, true);
  }

  /** The index of the file system that `statx` names, new ones added; looked for at `guess` first. -1 if the table is full. */
  device(statx: Statx, guess: number): number {
    if (this.#isDevice(guess, statx)) return guess;
    for (let index = 0; index < this.#deviceCapacity; index++) {
      if (this.#isDevice(index, statx)) return index;
      const record = index * DEVICE.bytes;
      const isFree =
        this.#devices.getUint32(record + DEVICE.major, true) === 0 &&
        this.#devices.getUint32(record + DEVICE.minor, true) === 0;
      if (!isFree) continue;
      // The major number is stored plus one: device 0:0 would look free.
      this.#devices.setUint32(record + DEVICE.major, statx.deviceMajor + 1, true);
      this.#devices.setUint32(record + DEVICE.minor, statx.deviceMinor, true);
      return index;
    }
    return -1;
  }

  /** Whether what `statx` describes is on the mount of that index. */
  isOn(index: number, statx: Statx): boolean {
    const record = index * MOUNT.bytes;
    return (
      this.#mounts.getUint32(record + MOUNT.idLow, true) === statx.mountIdLow &&
      this.#mounts.getUint32(record + MOUNT.idHigh, true) === statx.mountIdHigh
    );
  }

  #isMount(index: number, statx: Statx, zone: number): boolean {
    const record = index * MOUNT.bytes;
    return (
      this.#mounts.getUint32(record + MOUNT.inodes, true) !== 0 &&
      this.#mounts.getUint32(record + MOUNT.idLow, true) === statx.mountIdLow &&
      this.#mounts.getUint32(record + MOUNT.idHigh, true) === statx.mountIdHigh &&
      this.#mounts.getUint32(record + MOUNT.zone, true) === zone
    );
  }

  #isDevice(index: number, statx: Statx): boolean {
    const record = index * DEVICE.bytes;
    return (
      this.#devices.getUint32(record + DEVICE.major, true) === statx.deviceMajor + 1 &&
      this.#devices.getUint32(record + DEVICE.minor, true) === statx.deviceMinor
    );
  }
}
