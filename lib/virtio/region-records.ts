import type { MemoryRegion } from "./guest-memory.js";

const RECORD = {
  bytes: 40,
  guestAddress: 0,
  sizeBytes: 8,
  userAddress: 16,
  mmapOffset: 24,
  fdPlusOne: 32,
} as const;
/** RAM, and each map of each DAX window of the VM. */
const REGIONS_MAX = 512;

/** Bytes of the table of {@link RegionRecords}. */
export const REGION_RECORDS_BYTES = REGIONS_MAX * RECORD.bytes;

/** The regions of guest memory, in memory that outlives the worker. */
export class RegionRecords {
  constructor(private readonly records: DataView) {}

  /** @returns whether there was room */
  add({ guestAddress, sizeBytes, userAddress, mmapOffset, fd }: MemoryRegion): boolean {
    for (let record = 0; record < this.records.byteLength; record += RECORD.bytes) {
      if (this.records.getInt32(record + RECORD.fdPlusOne, true) !== 0) continue;
      this.records.setFloat64(record + RECORD.guestAddress, guestAddress, true);
      this.records.setFloat64(record + RECORD.sizeBytes, sizeBytes, true);
      this.records.setFloat64(record + RECORD.userAddress, userAddress, true);
      this.records.setFloat64(record + RECORD.mmapOffset, mmapOffset, true);
      this.records.setInt32(record + RECORD.fdPlusOne, fd + 1, true);
      return true;
    }
    return false;
  }

  remove(fd: number): void {
    for (let record = 0; record < this.records.byteLength; record += RECORD.bytes) {
      const field = record + RECORD.fdPlusOne;
      if (this.records.getInt32(field, true) === fd + 1) this.records.setInt32(field, 0, true);
    }
  }

  all(): MemoryRegion[] {
    const regions: MemoryRegion[] = [];
    for (let record = 0; record < this.records.byteLength; record += RECORD.bytes) {
      const fd = this.records.getInt32(record + RECORD.fdPlusOne, true) - 1;
      if (fd < 0) continue;
      const number = (field: number) => this.records.getFloat64(record + field, true);
      regions.push({
        guestAddress: number(RECORD.guestAddress),
        sizeBytes: number(RECORD.sizeBytes),
        userAddress: number(RECORD.userAddress),
        mmapOffset: number(RECORD.mmapOffset),
        fd,
      });
    }
    return regions;
  }
}
