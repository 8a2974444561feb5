import { MemoryRegionError } from "./guest-memory.js";

/** What a driver made of a queue cannot be: the queue is of no use until the device is reset. */
export class VirtqueueError extends Error {
  override readonly name = "VirtqueueError";
}

/** Memory that cannot be mapped is of no use to the queue; the device and its other queues go on. */
export function asVirtqueueError(error: unknown): unknown {
  return error instanceof MemoryRegionError ? new VirtqueueError(error.message, { cause: error }) : error;
}
