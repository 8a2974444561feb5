/**
 * What kata-fsd asks the shim about the marks of opaque directories, which need CAP_SYS_ADMIN: a request of
 *
 *     u8 operation, u8 zero, u16 bytes of the path, u64 inode number, u32 number of the request, path
 *
 * and a reply of
 *
 *     i32 result, u32 number of the request
 *
 * in the byte order of the machine, over a stream. The path is that of a directory, relative to the sandbox's share; the inode number tells
 * whether it still is the directory that was meant. The request's number tells its reply from one that a worker did not live to read.
 */
export const MarkOperation = {
  /** Its result is the mark, one byte such as "y", or 0 if there is none. */
  read: 1,
  /** Marks the directory as opaque. Its result is 0. */
  set: 2,
  /** Takes the mark away. Its result is 0. */
  clear: 3,
} as const;

export type MarkOperation = (typeof MarkOperation)[keyof typeof MarkOperation];

/** The attribute that is the mark, and the value of an opaque directory: Documentation/filesystems/overlayfs.rst. */
export const MARK_NAME = "trusted.overlay.opaque";
export const MARK_OPAQUE = 0x79;

export const MARK_REQUEST_HEADER_BYTES = 16;
export const MARK_PATH_MAX_BYTES = 4095;
export const MARK_REQUEST_MAX_BYTES = MARK_REQUEST_HEADER_BYTES + MARK_PATH_MAX_BYTES;
export const MARK_REPLY_BYTES = 8;

/** A request that does not follow the protocol. */
export class MarkRequestError extends Error {
  override readonly name = "MarkRequestError";
}

export interface MarkRequest {
  readonly operation: MarkOperation;
  readonly inodeLow: number;
  readonly inodeHigh: number;
  readonly number: number;
  /** Without a NUL in it; not copied. */
  readonly path: Uint8Array;
  /** Bytes of the whole request. */
  readonly bytes: number;
}

/** Writes the header of a request whose path of `pathBytes` follows it. */
export function writeMarkRequest(
  view: DataView,
  operation: MarkOperation,
  inodeLow: number,
  inodeHigh: number,
  number: number,
  pathBytes: number,
): void {
  view.setUint8(0, operation);
  view.setUint8(1, 0);
  view.setUint16(2, pathBytes, true);
  view.setUint32(4, inodeLow, true);
  view.setUint32(8, inodeHigh, true);
  view.setUint32(12, number, true);
}

/** Reads the first request of `bytes`; undefined if there is less than one. @throws MarkRequestError */
export function readMarkRequest(bytes: Uint8Array): MarkRequest | undefined {
  if (bytes.length < MARK_REQUEST_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const operation = Object.values(MarkOperation).find((value) => value === view.getUint8(0));
  const pathBytes = view.getUint16(2, true);
  if (operation === undefined || view.getUint8(1) !== 0)
    throw new MarkRequestError(`operation ${view.getUint16(0, true)}`);
  if (pathBytes === 0 || pathBytes > MARK_PATH_MAX_BYTES)
    throw new MarkRequestError(`a path of ${pathBytes} bytes`);
  const end = MARK_REQUEST_HEADER_BYTES + pathBytes;
  if (bytes.length < end) return undefined;
  const path = bytes.subarray(MARK_REQUEST_HEADER_BYTES, end);
  if (path.includes(0)) throw new MarkRequestError("a path with a NUL in it");
  return {
    operation,
    inodeLow: view.getUint32(4, true),
    inodeHigh: view.getUint32(8, true),
    number: view.getUint32(12, true),
    path,
    bytes: end,
  };
}
