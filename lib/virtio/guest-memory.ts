import { fstatSync } from "node:fs";
import { close } from "../sys/file.js";
import { type Mapping, mapShared, viewOf } from "../sys/mapping.js";
import type { RegionRecords } from "./region-records.js";

/** A region of guest memory as a front end announces it: part of a file that both sides map. Numbers in bytes. */
export interface MemoryRegion {
  /** Guest physical address of its first byte. */
  readonly guestAddress: number;
  readonly sizeBytes: number;
  /** The front end's own virtual address of its first byte. */
  readonly userAddress: number;
  /** Where the region begins in the file. */
  readonly mmapOffset: number;
  /** The file; it belongs to the memory from {@link GuestMemory.add} on. */
  readonly fd: number;
}

/** A piece of a mapped region that one view can cover. */
export interface MemoryChunk {
  readonly guestAddress: number;
  readonly userAddress: number;
  readonly byteLength: number;
  /** Where this process has it mapped: for system calls, which fail with EFAULT where there is nothing behind a page. */
  readonly hostAddress: number;
  /**
   * RAM is. A DAX window's map of a file is not: the file may end before the map or be cut at any time, and whoever then touches the
   * memory is killed by SIGBUS. So no view shows it, the three here are empty, and it is read from the file.
   */
  readonly isWritable: boolean;
  /** The file, open as long as the chunk is mapped, and where the chunk begins in it. */
  readonly fd: number;
  readonly fileOffset: number;
  readonly bytes: Uint8Array;
  readonly words: Uint16Array;
  readonly view: DataView;
}

/** A view covers at most this much, well below the longest array of V8. */
const CHUNK_BYTES = 2 ** 30;
const PAGE_BYTES = 4096;
const NO_BYTES = new ArrayBuffer(0);
/** Addresses and sizes are below this: 52 bits are the most that x86 has. */
const ADDRESS_LIMIT = 2 ** 52;

interface MappedRegion extends MemoryRegion {
  mapping: Mapping | undefined;
  chunks: readonly MemoryChunk[];
}

/** A region that cannot be what it says. */
export class MemoryRegionError extends Error {
  override readonly name = "MemoryRegionError";
}

/**
 * The guest's memory: the regions that the front end announced. A region is mapped when it is first touched: each map in a DAX
 * window is announced as a region to each device of the VM, and hardly any is ever used.
 */
export class GuestMemory {
  readonly #regions: MappedRegion[];
  /** Regions that were removed while memory was held. */
  readonly #removed: MappedRegion[] = [];
  #holds = 0;
  #last: MemoryChunk | undefined;

  /** @param records where the regions are noted for a worker that comes after this one; those that are there are this memory's */
  constructor(private readonly records: RegionRecords | null = null) {
    this.#regions = (records?.all() ?? []).map(unmapped);
  }

  get regionCount(): number {
    return this.#regions.length;
  }

  /** @throws MemoryRegionError; the descriptor is closed then */
  add(region: MemoryRegion): void {
    const problem = this.#problemOf(region);
    if (problem !== undefined) {
      close(region.fd);
      throw new MemoryRegionError(problem);
    }
    if (this.records?.add(region) === false) {
      close(region.fd);
      throw new MemoryRegionError("too many memory regions");
    }
    this.#regions.push(unmapped(region));
  }

  /**
   * Keeps removed regions mapped until as many {@link release}: the front end may take a region away in the midst of a request whose
   * buffers lie in it. A view of unmapped memory would end the process, or show the guest what is mapped there next.
   */
  hold(): void {
    this.#holds++;
  }

  release(): void {
    this.#holds--;
    if (this.#holds > 0 || this.#removed.length === 0) return;
    for (const region of this.#removed.splice(0)) drop(region);
  }

  /**
   * Removes the region that is at these addresses. Nothing may use its chunks any more, except under {@link hold}.
   * @param onRemoved is told each chunk that goes away, before its memory is unmapped
   * @returns false if there is none
   */
  remove(
    guestAddress: number,
    sizeBytes: number,
    userAddress: number,
    onRemoved: (chunk: MemoryChunk) => void,
  ): boolean {
    const index = this.#regions.findIndex(
      (region) =>
        region.guestAddress === guestAddress &&
        region.sizeBytes === sizeBytes &&
        region.userAddress === userAddress,
    );
    const [region] = index < 0 ? [] : this.#regions.splice(index, 1);
    if (region === undefined) return false;
    this.#release(region, onRemoved);
    return true;
  }

  clear(onRemoved: (chunk: MemoryChunk) => void): void {
    for (const region of this.#regions.splice(0)) this.#release(region, onRemoved);
  }

  /** The chunk in which a guest physical address lies. @throws MemoryRegionError if its region cannot be mapped */
  find(guestAddress: number): MemoryChunk | undefined {
    const last = this.#last;
    if (
      last !== undefined &&
      guestAddress >= last.guestAddress &&
      guestAddress < last.guestAddress + last.byteLength
    ) {
      return last;
    }
    for (const region of this.#regions) {
      if (guestAddress < region.guestAddress || guestAddress >= region.guestAddress + region.sizeBytes)
        continue;
      this.#last = this.#chunkAt(region, guestAddress - region.guestAddress);
      return this.#last;
    }
    return undefined;
  }

  /** The chunk in which an address of the front end's lies. @throws MemoryRegionError if its region cannot be mapped */
  findByUserAddress(userAddress: number): MemoryChunk | undefined {
    for (const region of this.#regions) {
      if (userAddress < region.userAddress || userAddress >= region.userAddress + region.sizeBytes) continue;
      return this.#chunkAt(region, userAddress - region.userAddress);
    }
    return undefined;
  }

  #chunkAt(region: MappedRegion, offset: number): MemoryChunk | undefined {
    if (region.mapping === undefined) {
      // The part of the file before the region is mapped with it unless it is whole pages.
      const skipped = Math.floor(region.mmapOffset / PAGE_BYTES) * PAGE_BYTES;
      const within = region.mmapOffset - skipped;
      const mapping = this.#map(region, skipped, within + region.sizeBytes);
      region.mapping = mapping;
      region.chunks = cut(region, mapping, within);
    }
    return region.chunks[Math.floor(offset / CHUNK_BYTES)];
  }

  #map(region: MemoryRegion, offsetBytes: number, byteLength: number): Mapping {
    const mapping = tryMap(region, offsetBytes, byteLength);
    // RAM is touched without a system call in between: the front end must have made its file as long as it says.
    const file = mapping.isWritable ? fstatSync(region.fd) : undefined;
    if (file?.isFile() === true && file.size < offsetBytes + byteLength) {
      mapping.unmap();
      throw new MemoryRegionError(`${textOf(region)} reaches past the ${file.size} bytes of its file`);
    }
    return mapping;
  }

  #release(region: MappedRegion, onRemoved: (chunk: MemoryChunk) => void): void {
    this.#last = undefined;
    this.records?.remove(region.fd);
    for (const chunk of region.chunks) onRemoved(chunk);
    if (this.#holds > 0) this.#removed.push(region);
    else drop(region);
  }

  #problemOf(region: MemoryRegion): string | undefined {
    const { guestAddress, sizeBytes, userAddress, mmapOffset } = region;
    const text = textOf(region);
    if (sizeBytes <= 0) return `${text}: it is empty`;
    if (guestAddress + sizeBytes > ADDRESS_LIMIT || mmapOffset + sizeBytes > Number.MAX_SAFE_INTEGER) {
      return `${text}: it reaches past the addresses that there are`;
    }
    if (!Number.isSafeInteger(userAddress + sizeBytes)) return `${text}: its user address cannot be`;
    const isOverlap = this.#regions.some(
      (other) =>
        guestAddress < other.guestAddress + other.sizeBytes && other.guestAddress < guestAddress + sizeBytes,
    );
    return isOverlap ? `${text}: it overlaps another one` : undefined;
  }
}

function unmapped(region: MemoryRegion): MappedRegion {
  return { ...region, mapping: undefined, chunks: [] };
}

function tryMap(region: MemoryRegion, offsetBytes: number, byteLength: number): Mapping {
  try {
    return mapShared(region.fd, offsetBytes, byteLength);
  } catch (cause) {
    throw new MemoryRegionError(`${textOf(region)} cannot be mapped`, { cause });
  }
}

function drop({ mapping, fd }: MappedRegion): void {
  mapping?.unmap();
  close(fd);
}

function textOf({ sizeBytes, guestAddress }: MemoryRegion): string {
  return `region of ${sizeBytes} bytes at guest address 0x${guestAddress.toString(16)}`;
}

function cut(region: MemoryRegion, mapping: Mapping, within: number): MemoryChunk[] {
  const chunks: MemoryChunk[] = [];
  for (let offset = 0; offset < region.sizeBytes; offset += CHUNK_BYTES) {
    const byteLength = Math.min(CHUNK_BYTES, region.sizeBytes - offset);
    const buffer = mapping.isWritable ? viewOf(mapping, within + offset, byteLength) : NO_BYTES;
    chunks.push({
      guestAddress: region.guestAddress + offset,
      userAddress: region.userAddress + offset,
      byteLength,
      hostAddress: mapping.address + within + offset,
      isWritable: mapping.isWritable,
      fd: region.fd,
      fileOffset: region.mmapOffset + offset,
      bytes: new Uint8Array(buffer),
      words: new Uint16Array(buffer, 0, Math.floor(buffer.byteLength / 2)),
      view: new DataView(buffer),
    });
  }
  return chunks;
}
