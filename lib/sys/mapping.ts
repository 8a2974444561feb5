import { Errno, SysError } from "./errno.js";
import { bind, lastErrno, viewAt } from "./libc.js";

const mmap = bind<
  (address: null, length: number, prot: number, flags: number, fd: number, offset: number) => number
>("intptr_t mmap(void *address, size_t length, int prot, int flags, int fd, int64_t offset)");
const munmap = bind<(address: number, length: number) => number>(
  "int munmap(uintptr_t address, size_t length)",
);

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;

/** A shared mapping of part of a file. */
export interface Mapping {
  readonly address: number;
  readonly byteLength: number;
  readonly isWritable: boolean;
  /** Views of the memory must not be touched afterwards: the process would die. */
  unmap(): void;
}

/**
 * Maps `byteLength` bytes of `fd` from `offsetBytes`, which is a multiple of the page size: readable and writable, or only
 * readable where the descriptor allows no more.
 * @throws SysError
 */
export function mapShared(fd: number, offsetBytes: number, byteLength: number): Mapping {
  const writable = tryMap(fd, offsetBytes, byteLength, PROT_READ | PROT_WRITE);
  if (typeof writable === "number") return mappingAt(writable, byteLength, true);
  if (writable.errno !== Errno.EACCES) throw writable;
  const readable = tryMap(fd, offsetBytes, byteLength, PROT_READ);
  if (typeof readable === "number") return mappingAt(readable, byteLength, false);
  throw readable;
}

/** A view of `byteLength` bytes of a mapping. */
export function viewOf(mapping: Mapping, offsetBytes: number, byteLength: number): ArrayBuffer {
  if (offsetBytes + byteLength > mapping.byteLength)
    throw new RangeError("the view reaches past the mapping");
  return viewAt(mapping.address + offsetBytes, byteLength);
}

function tryMap(fd: number, offsetBytes: number, byteLength: number, prot: number): number | SysError {
  const address = mmap(null, byteLength, prot, MAP_SHARED, fd, offsetBytes);
  return address === -1 ? SysError.fromErrno(lastErrno(), "mmap", `${byteLength} bytes`) : address;
}

function mappingAt(address: number, byteLength: number, isWritable: boolean): Mapping {
  return { address, byteLength, isWritable, unmap: () => void munmap(address, byteLength) };
}
