import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { hasErrno } from "../../lib/sys/errno.js";
import type { agent } from "../../proto/index.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import type { Logger } from "../log/logger.js";
import { timeLimitMs } from "../time-limits.js";
import { DISK_BUS } from "../vm/description.js";
import { type DiskMonitor, plugDisk, scsiAddress, unplugDisk } from "../vm/disk.js";
import type { BlockDevice } from "./oci/block-devices.js";

const { O_RDONLY, O_RDWR, O_EXCL } = constants;

interface Plugged {
  readonly unit: number;
  readonly readOnly: boolean;
  /** Ids of containers. */
  readonly users: Set<string>;
}

export interface DisksOptions {
  readonly qmp: DiskMonitor;
  /** Whether the VM has the bus for them. */
  readonly canPlug: boolean;
  readonly logger: Logger;
}

/** The host's block devices that a VM has, each once for all containers of the pod. */
export class Disks {
  readonly #options: DisksOptions;
  /** By major:minor. */
  readonly #plugged = new Map<string, Plugged>();
  /** Those that QEMU has not given back, too. */
  readonly #taken = new Set<number>();
  /** One change at a time: QEMU's monitor takes one descriptor at a time. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(options: DisksOptions) {
    this.#options = options;
  }

  /**
   * Gives a container its block devices.
   *
   * @param isListed whether the container has all of the host's devices, and asked for none: then those under the host's own names
   * are left out
   * @returns how the agent finds them
   * @throws ShimError with what was plugged in still held by the container: {@link release} it
   */
  require(
    containerId: string,
    devices: readonly BlockDevice[],
    isListed: boolean,
  ): Promise<agent.Device.$Properties[]> {
    return this.#next(async () => {
      const found: agent.Device.$Properties[] = [];
      for (const device of devices) {
        const source = nameOf(device);
        if (isListed && source === device.path) continue;
        const { unit } = await this.#plug(containerId, device, source);
        found.push({ id: scsiAddress(unit), type: "scsi", container_path: device.path });
      }
      return found;
    });
  }

  /** A container is gone; so are the disks that it was the last to have. Does not throw: what the guest keeps goes with the VM. */
  release(containerId: string): Promise<void> {
    return this.#next(async () => {
      for (const [key, { unit, users }] of this.#plugged) {
        if (!users.delete(containerId) || users.size > 0) continue;
        this.#plugged.delete(key);
        try {
          await unplugDisk(this.#options.qmp, unit, timeLimitMs("agentCheckSeconds"));
          this.#taken.delete(unit);
        } catch (error) {
          this.#options.logger.warn("a disk stays until the sandbox ends", {
            device: key,
            error: messageOf(error),
          });
        }
      }
    });
  }

  async #plug(containerId: string, device: BlockDevice, source: string): Promise<Plugged> {
    const key = `${device.major}:${device.minor}`;
    const present = this.#plugged.get(key);
    if (present !== undefined) {
      if (present.readOnly && !device.readOnly) {
        throw inUse(source, "a container of this pod has it to read only");
      }
      present.users.add(containerId);
      return present;
    }
    const unit = this.#freeUnit(source);
    const fd = openDevice(source, device);
    try {
      await plugDisk(this.#options.qmp, { fd, readOnly: device.readOnly, unit });
    } catch (cause) {
      throw new ShimError(StatusCode.UNAVAILABLE, `block device ${source}: ${messageOf(cause)}`, { cause });
    } finally {
      closeSync(fd);
    }
    this.#taken.add(unit);
    const plugged = { unit, readOnly: device.readOnly, users: new Set([containerId]) };
    this.#plugged.set(key, plugged);
    return plugged;
  }

  #freeUnit(source: string): number {
    if (!this.#options.canPlug) {
      throw new ShimError(
        StatusCode.FAILED_PRECONDITION,
        `block device ${source}: hypervisor.hotPlug is off, and nothing can be plugged in`,
      );
    }
    for (let unit = 0; unit < DISK_BUS.units; unit++) if (!this.#taken.has(unit)) return unit;
    throw new ShimError(
      StatusCode.RESOURCE_EXHAUSTED,
      `block device ${source}: the sandbox has ${this.#taken.size} disks, and no place for another`,
    );
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    // Whether the change before has failed is for whoever asked for it.
    const next = this.#changing.catch(() => {}).then(work);
    this.#changing = next;
    return next;
  }
}

/** The host's own name of a device: a container's configuration has numbers only. */
function nameOf({ path, major, minor }: BlockDevice): string {
  try {
    const name = /^DEVNAME=(.+)$/m.exec(readFileSync(`/sys/dev/block/${major}:${minor}/uevent`, "utf8"))?.[1];
    if (name !== undefined) return `/dev/${name}`;
    throw new Error("it has no name");
  } catch (cause) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `block device ${path}, ${major}:${minor} of the host, is not there: ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** One who writes has it alone, many may read: Linux refuses O_EXCL of a block device to all but one, and if it is mounted. */
function openDevice(source: string, { readOnly }: BlockDevice): number {
  try {
    return openSync(source, readOnly ? O_RDONLY : O_RDWR | O_EXCL);
  } catch (cause) {
    if (hasErrno(cause, "EBUSY")) throw inUse(source, "it is mounted on the host, or another pod's", cause);
    throw new ShimError(StatusCode.INVALID_ARGUMENT, `block device ${source}: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function inUse(source: string, who: string, cause?: unknown): ShimError {
  const message = `block device ${source} is in use: ${who}`;
  return new ShimError(StatusCode.FAILED_PRECONDITION, message, cause === undefined ? undefined : { cause });
}
