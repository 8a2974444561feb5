import { readlinkSync } from "node:fs";
import { F_GETSIG, fcntl, O_ACCMODE } from "../../lib/sys/file.js";
import type { ShmemWindow } from "../../lib/vhost-user/shmem.js";

const F_GETFL = 3;

export interface RecordedMap {
  readonly path: string;
  readonly fdOffset: number;
  readonly lengthBytes: number;
  readonly writable: boolean;
  readonly accessMode: number;
  readonly signal: number;
}

/** A window that keeps the rules of QEMU 11.1 and remembers what is mapped, by offset. For tests. */
export class RecordedWindow implements ShmemWindow {
  active = true;
  /** Makes the next calls fail, as a front end that refuses. */
  isBroken = false;
  readonly maps = new Map<number, RecordedMap>();

  constructor(readonly lengthBytes: number) {}

  map(fd: number, fdOffset: number, shmOffset: number, lengthBytes: number, writable: boolean): void {
    if (!this.active) throw new Error("QEMU would crash: mapped while the device does not run");
    if (this.isBroken) throw new Error("refused");
    if (lengthBytes <= 0 || shmOffset + lengthBytes > this.lengthBytes)
      throw new Error("outside of the window");
    for (const [offset, other] of this.maps) {
      if (offset < shmOffset + lengthBytes && shmOffset < offset + other.lengthBytes)
        throw new Error("overlaps");
    }
    this.maps.set(shmOffset, {
      path: readlinkSync(`/proc/self/fd/${fd}`),
      fdOffset,
      lengthBytes,
      writable,
      accessMode: fcntl(fd, F_GETFL, 0) & O_ACCMODE,
      signal: fcntl(fd, F_GETSIG, 0),
    });
  }

  unmap(shmOffset: number, lengthBytes: number): void {
    if (!this.active) throw new Error("unmapped while the device does not run");
    if (this.isBroken) throw new Error("refused");
    if (this.maps.get(shmOffset)?.lengthBytes !== lengthBytes) throw new Error("no such map");
    this.maps.delete(shmOffset);
  }
}
