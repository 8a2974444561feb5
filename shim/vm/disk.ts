import { DISK_BUS } from "./description.js";
import { type QmpClient, QmpError } from "./qmp.js";

/** What is needed of a monitor. */
export type DiskMonitor = Pick<QmpClient, "execute" | "executeWith" | "listen">;

/** A block device of the host for a guest. */
export interface Disk {
  /** Open for what the guest may do; stays the caller's. */
  readonly fd: number;
  readonly readOnly: boolean;
  /** Its place on the bus of disks, and its name in QEMU. */
  readonly unit: number;
}

/** QEMU's sets of descriptors: the first one is the image's. */
const FIRST_SET = 100;

/** How the agent finds a disk: target and unit, as Kata writes an address of SCSI. */
export function scsiAddress(unit: number): string {
  return `${DISK_BUS.target}:${unit}`;
}

/**
 * Plugs a disk in. QEMU has a descriptor of its own then.
 *
 * @throws QmpError, with nothing left of it in QEMU
 */
export async function plugDisk(qmp: DiskMonitor, { fd, readOnly, unit }: Disk): Promise<void> {
  const { node, device, set } = namesOf(unit);
  await qmp.executeWith(fd, "add-fd", { "fdset-id": set });
  try {
    await qmp.execute("blockdev-add", {
      ...{ driver: "host_device", "node-name": node, filename: `/dev/fdset/${set}` },
      ...{ "read-only": readOnly, discard: "unmap" },
    });
    try {
      await qmp.execute("device_add", {
        ...{ driver: "scsi-hd", id: device, drive: node },
        ...{ bus: `${DISK_BUS.id}.0`, channel: 0, "scsi-id": DISK_BUS.target, lun: unit },
      });
    } catch (error) {
      await qmp.execute("blockdev-del", { "node-name": node });
      throw error;
    }
  } catch (error) {
    await qmp.execute("remove-fd", { "fdset-id": set });
    throw error;
  }
}

/**
 * Takes a disk out, whatever the guest does with it.
 *
 * @throws QmpError when QEMU still has it after the time limit
 */
export async function unplugDisk(qmp: DiskMonitor, unit: number, limitMs: number): Promise<void> {
  const { node, device, set } = namesOf(unit);
  const gone = deleted(qmp, device, limitMs);
  try {
    await qmp.execute("device_del", { id: device });
    await gone.promise;
  } finally {
    gone.stop();
  }
  await qmp.execute("blockdev-del", { "node-name": node });
  await qmp.execute("remove-fd", { "fdset-id": set });
}

/** Waits for DEVICE_DELETED. */
function deleted(qmp: DiskMonitor, device: string, limitMs: number) {
  let stop = () => {};
  const promise = new Promise<void>((resolve, reject) => {
    const late = () => reject(new QmpError(`QEMU still has ${device} after ${limitMs} ms`));
    const timer = setTimeout(late, limitMs);
    const unlisten = qmp.listen(({ name, data }) => {
      if (name === "DEVICE_DELETED" && data["device"] === device) resolve();
    });
    stop = () => {
      clearTimeout(timer);
      unlisten();
    };
  });
  return { promise, stop: () => stop() };
}

function namesOf(unit: number) {
  return { node: `disk-node-${unit}`, device: `disk-${unit}`, set: FIRST_SET + unit };
}
