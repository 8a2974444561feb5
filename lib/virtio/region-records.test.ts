import assert from "node:assert/strict";
import { it } from "node:test";
import type { MemoryRegion } from "./guest-memory.js";
import { REGION_RECORDS_BYTES, RegionRecords } from "./region-records.js";

const region = (fd: number): MemoryRegion => ({
  guestAddress: 2 ** 40 + fd * 4096,
  sizeBytes: 4096,
  userAddress: 2 ** 46,
  mmapOffset: 2 ** 33,
  fd,
});

it("is read by whoever comes next", () => {
  const view = new DataView(new ArrayBuffer(REGION_RECORDS_BYTES));
  const records = new RegionRecords(view);
  for (const fd of [0, 7, 9]) assert.ok(records.add(region(fd)));
  records.remove(7);
  assert.ok(records.add(region(8)));
  assert.deepEqual(new RegionRecords(view).all(), [region(0), region(8), region(9)]);
});

it("says when there are too many", () => {
  const records = new RegionRecords(new DataView(new ArrayBuffer(REGION_RECORDS_BYTES)));
  for (let fd = 0; fd < 512; fd++) assert.ok(records.add(region(fd)));
  assert.equal(records.add(region(512)), false);
});
