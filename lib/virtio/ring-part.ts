import type { GuestMemory, MemoryChunk } from "./guest-memory.js";
import { asVirtqueueError, VirtqueueError } from "./virtqueue-error.js";

/** Where the descriptor table or one of the rings lies. */
export interface RingPart {
  readonly chunk: MemoryChunk;
  /** Of its first byte in the chunk. */
  readonly offset: number;
}

/**
 * Finds it in guest memory by the address that the front end gave, and checks that all of it is there.
 * @throws VirtqueueError if it is not, or cannot be written to, or is not aligned as the specification has it (virtio 1.3, 2.7)
 */
export function ringPart(
  memory: GuestMemory,
  userAddress: number,
  lengthBytes: number,
  alignment: number,
  what: string,
): RingPart {
  const at = `the ${what} at 0x${userAddress.toString(16)}`;
  const chunk = findRing(memory, userAddress);
  if (chunk === undefined) throw new VirtqueueError(`${at} is not in the guest's memory`);
  const offset = userAddress - chunk.userAddress;
  if (offset + lengthBytes > chunk.byteLength)
    throw new VirtqueueError(`${at} reaches past the guest's memory`);
  // Both: words are counted from the chunk's beginning.
  if ((chunk.hostAddress + offset) % alignment !== 0 || offset % alignment !== 0)
    throw new VirtqueueError(`${at} is not aligned to ${alignment}`);
  if (!chunk.isWritable) throw new VirtqueueError(`${at} lies in read-only memory`);
  return { chunk, offset };
}

function findRing(memory: GuestMemory, userAddress: number): MemoryChunk | undefined {
  try {
    return memory.findByUserAddress(userAddress);
  } catch (error) {
    throw asVirtqueueError(error);
  }
}
