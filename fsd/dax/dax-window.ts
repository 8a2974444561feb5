import { Errno } from "../../lib/sys/errno.js";
import { ShmemError } from "../../lib/vhost-user/backend-channel.js";
import type { ShmemWindow } from "../../lib/vhost-user/shmem.js";
import { DAX_RANGE_BYTES } from "../fuse/constants.js";
import type { FsdMetrics } from "../metrics.js";
import type { InodeTable } from "../passthrough/inode-table.js";
import type { ReadDescriptors } from "../passthrough/read-descriptors.js";
import { DAX_RANGE, type FsdState } from "../state.js";

const PAGE_BYTES = 4096;
/** The cost of a map climbs steeply with their number, and QEMU 11.1 aborts above 512 memory regions in the VM. */
const LIVE_MAPS_MAX = 200;

/**
 * The device's DAX window, in ranges of 2 MiB. Each range is one map of QEMU's, so a range that the guest takes back is
 * exactly one unmap. All maps are read-only: only files that nobody in the guest may write are mapped.
 */
export class DaxWindow {
  readonly #records: DataView;
  readonly #ranges: number;

  constructor(
    private readonly window: ShmemWindow,
    state: FsdState,
    private readonly inodes: InodeTable,
    private readonly descriptors: ReadDescriptors,
    private readonly metrics: FsdMetrics,
  ) {
    this.#records = state.daxRanges;
    this.#ranges = state.daxRanges.byteLength / DAX_RANGE.bytes;
    for (let range = 0; range < this.#ranges; range++) {
      const mappedBytes = this.#records.getFloat64(range * DAX_RANGE.bytes + DAX_RANGE.mappedBytes, true);
      if (mappedBytes === 0) continue;
      metrics.daxMapsLive++;
      metrics.daxLiveBytes += Math.abs(mappedBytes);
    }
  }

  /**
   * Maps `lengthBytes` of the inode's file from `fileOffset` on at `windowOffset`; what was mapped there before goes away.
   * @param sizeBytes the file's size if it can never change: nothing is mapped behind its last page then; or Infinity
   * @returns 0, or -errno: ENOMEM at the limit of live maps, which makes the guest's kernel retry a page fault later
   * @throws ShmemError if the front end refuses
   */
  map(
    slot: number,
    fileOffset: number,
    windowOffset: number,
    lengthBytes: number,
    sizeBytes: number,
  ): number {
    if (!this.#isRange(windowOffset, lengthBytes) || lengthBytes === 0) return -Errno.EINVAL;
    if (!Number.isSafeInteger(fileOffset + lengthBytes) || fileOffset % DAX_RANGE_BYTES !== 0)
      return -Errno.EINVAL;
    if (fileOffset >= sizeBytes) return -Errno.EINVAL;
    if (!this.window.active) return -Errno.ENODEV;
    const fd = this.descriptors.of(slot);
    if (fd < 0) return fd;
    for (let done = 0; done < lengthBytes && fileOffset + done < sizeBytes; done += DAX_RANGE_BYTES) {
      const result = this.#mapRange(slot, fd, fileOffset + done, windowOffset + done, sizeBytes);
      if (result < 0) return result;
    }
    return 0;
  }

  /** Takes back what is mapped at that part of the window; parts where nothing is mapped are passed over. @returns 0, or -EINVAL. */
  unmap(windowOffset: number, lengthBytes: number): number {
    if (!this.#isRange(windowOffset, lengthBytes)) return -Errno.EINVAL;
    const end = (windowOffset + lengthBytes) / DAX_RANGE_BYTES;
    for (let range = windowOffset / DAX_RANGE_BYTES; range < end; range++) this.#unmapRange(range);
    return 0;
  }

  /** The front end has dropped all maps, as it does when the device is reset. */
  reset(): void {
    for (let range = 0; range < this.#ranges; range++) {
      this.#records.setFloat64(range * DAX_RANGE.bytes + DAX_RANGE.mappedBytes, 0, true);
    }
    this.metrics.daxMapsLive = 0;
    this.metrics.daxLiveBytes = 0;
  }

  /**
   * Takes back every map while the device runs: the guest unmounts.
   * @throws ShmemError after all were tried, if the front end refused one
   */
  unmapAll(): void {
    let failure: { readonly error: unknown } | undefined;
    for (let range = 0; range < this.#ranges; range++) {
      try {
        this.#unmapRange(range);
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure !== undefined) throw failure.error;
  }

  #mapRange(slot: number, fd: number, fileOffset: number, windowOffset: number, sizeBytes: number): number {
    const range = windowOffset / DAX_RANGE_BYTES;
    const record = range * DAX_RANGE.bytes;
    const records = this.#records;
    const before = records.getFloat64(record + DAX_RANGE.mappedBytes, true);
    if (before !== 0) {
      const isSame =
        before > 0 &&
        records.getUint32(record + DAX_RANGE.nodeIdLow, true) === slot &&
        records.getUint32(record + DAX_RANGE.nodeIdHigh, true) === this.inodes.sequence(slot) &&
        records.getFloat64(record + DAX_RANGE.fileOffset, true) === fileOffset;
      if (isSame) return 0;
      this.#unmapRange(range);
    }
    if (this.metrics.daxMapsLive >= LIVE_MAPS_MAX) return -Errno.ENOMEM;
    const pages = Math.ceil((sizeBytes - fileOffset) / PAGE_BYTES);
    const mappedBytes = Math.min(DAX_RANGE_BYTES, pages * PAGE_BYTES);
    const field = record + DAX_RANGE.mappedBytes;
    records.setUint32(record + DAX_RANGE.nodeIdLow, slot, true);
    records.setUint32(record + DAX_RANGE.nodeIdHigh, this.inodes.sequence(slot), true);
    records.setFloat64(record + DAX_RANGE.fileOffset, fileOffset, true);
    records.setFloat64(field, -mappedBytes, true);
    let isMapped = false;
    try {
      this.window.map(fd, fileOffset, windowOffset, mappedBytes, false);
      // While it waited, the window may have been told that the device stopped: then the map is gone, and so is the session.
      isMapped = this.window.active;
    } finally {
      records.setFloat64(field, isMapped ? mappedBytes : 0, true);
    }
    if (!isMapped) return -Errno.ENODEV;
    const metrics = this.metrics;
    metrics.daxMapsLive++;
    metrics.daxMapsTotal++;
    metrics.daxLiveBytes += mappedBytes;
    metrics.daxMappedBytesTotal += mappedBytes;
    return 0;
  }

  #unmapRange(range: number): void {
    const field = range * DAX_RANGE.bytes + DAX_RANGE.mappedBytes;
    const noted = this.#records.getFloat64(field, true);
    if (noted === 0) return;
    const mappedBytes = Math.abs(noted);
    this.#records.setFloat64(field, -mappedBytes, true);
    this.metrics.daxMapsLive--;
    this.metrics.daxUnmapsTotal++;
    this.metrics.daxLiveBytes -= mappedBytes;
    try {
      // While the device is stopped the front end has no maps left to take back.
      if (this.window.active) this.window.unmap(range * DAX_RANGE_BYTES, mappedBytes);
    } catch (error) {
      // Another worker died while it asked for the map, or gave it back: maybe there is none.
      if (noted > 0 || !(error instanceof ShmemError)) throw error;
    } finally {
      // A range that the front end refuses to give back is not asked for again and again.
      this.#records.setFloat64(field, 0, true);
    }
  }

  #isRange(windowOffset: number, lengthBytes: number): boolean {
    return (
      windowOffset % DAX_RANGE_BYTES === 0 &&
      lengthBytes % DAX_RANGE_BYTES === 0 &&
      windowOffset + lengthBytes <= this.#ranges * DAX_RANGE_BYTES
    );
  }
}
