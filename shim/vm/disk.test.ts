import assert from "node:assert/strict";
import { test } from "node:test";
import { plugDisk, scsiAddress, unplugDisk } from "./disk.js";
import { RecordingDiskMonitor } from "./testing/disk-monitor.js";

test("a disk has its place on the bus, and goes with all that it is made of", async () => {
  const monitor = new RecordingDiskMonitor();
  await plugDisk(monitor, { fd: 9, readOnly: true, unit: 3 });
  const [node] = monitor.nodes.values();
  const [device] = monitor.devices.values();
  assert.equal(node?.["read-only"], true);
  assert.deepEqual([device?.["scsi-id"], device?.["lun"], device?.["bus"]], [0, 3, "disks.0"]);
  assert.equal(scsiAddress(3), "0:3");
  await unplugDisk(monitor, 3, 1000);
  assert.equal(monitor.count, 0);
});

for (const refused of ["add-fd", "blockdev-add", "device_add"]) {
  test(`a disk whose ${refused} is refused leaves nothing in QEMU`, async () => {
    const monitor = new RecordingDiskMonitor(refused);
    await assert.rejects(
      plugDisk(monitor, { fd: 9, readOnly: false, unit: 0 }),
      new RegExp(`QMP ${refused}: no`),
    );
    assert.equal(monitor.count, 0);
  });
}

test("a disk that QEMU keeps is told of", async () => {
  const monitor = new RecordingDiskMonitor();
  await plugDisk(monitor, { fd: 9, readOnly: false, unit: 0 });
  monitor.execute = async () => ({});
  await assert.rejects(unplugDisk(monitor, 0, 1), /QEMU still has disk-0 after 1 ms/);
});
