import { discard } from "../lib/sys/discard.js";
import type { AllocateTable } from "../lib/sys/shared-tables.js";
import { DeviceState } from "../lib/vhost-user/device-state.js";
import { SplitVirtqueue } from "../lib/virtio/split-virtqueue.js";
import type { DeviceOptions } from "./options/device-options.js";
import { type Repaired, repairState, stateDescriptors } from "./passthrough/repair.js";
import { deviceLimits } from "./passthrough/state-limits.js";
import { createFsdState, type FsdState } from "./state.js";
import { virtioFsQueues } from "./virtio-fs-config.js";

/** The bytes of the DAX window that the front end is to have, 0 for none. */
export function daxWindowBytes({ dax, daxWindowBytes }: DeviceOptions): number {
  return dax === "never" ? 0 : daxWindowBytes;
}

/** All that is known of a device and its guest, in tables that may outlive the worker. */
export class DeviceMemory {
  readonly vhost: DeviceState;
  readonly fs: FsdState;
  readonly #tables: DataView[] = [];

  /** @throws SysError */
  constructor(options: DeviceOptions, allocate?: AllocateTable) {
    const noted: AllocateTable | undefined =
      allocate &&
      ((byteLength) => {
        const table = allocate(byteLength);
        this.#tables.push(table);
        return table;
      });
    this.vhost = new DeviceState(virtioFsQueues(options.requestQueues), noted);
    this.fs = createFsdState(deviceLimits(daxWindowBytes(options)), noted);
  }

  /** Whether a front end is connected. */
  get isConnected(): boolean {
    return this.vhost.socketFd >= 0;
  }

  /** Each descriptor that the device has, once or more often. */
  descriptors(): number[] {
    return this.isConnected ? [...this.vhost.descriptors(), ...stateDescriptors(this.fs)] : [];
  }

  /**
   * Puts in order what another worker has left, whose descriptors are this process's now.
   * @param isMissing see {@link repairState}
   * @throws VirtqueueError, MemoryRegionError
   */
  repair(isMissing: (fd: number) => boolean): Repaired {
    const { memory, vrings } = this.vhost;
    const unanswered = vrings.map((vring) => {
      return vring.isStarted ? new SplitVirtqueue(memory, vring, false).unanswered() : [];
    });
    return repairState(
      this.fs,
      (queueIndex, head) => unanswered[queueIndex]?.includes(head) === true,
      isMissing,
    );
  }

  /** The device is as new: its front end has gone, and everything was given back. */
  erase(): void {
    for (const table of this.#tables) if (table.byteLength > 0) discard(table, 0, table.byteLength);
  }
}
