import { descriptorLimit, raiseDescriptorLimit, setDescriptorLimit } from "../lib/sys/resource-limit.js";
import type { FsdLog } from "./fuse/fuse-server.js";

/** virtiofsd's preset. */
const PRESET = 1_000_000;
/** Fewer descriptors than this are worth a warning: each file that the guest has open is one. */
const WANTED = 4096;

/**
 * Does what --rlimit-nofile says.
 * @param most how many descriptors there may be; 0 leaves the limit alone; undefined raises it as far as is useful and allowed
 * @throws SysError when `most` is more than the daemon may have
 */
export function limitDescriptors(most: number | undefined, log: FsdLog): void {
  if (most === undefined) raiseDescriptorLimit(PRESET);
  else if (most > 0) setDescriptorLimit(most);
  const { soft } = descriptorLimit();
  if (soft < WANTED) log.warn(`RLIMIT_NOFILE is ${soft}: a guest that opens more files gets errors`);
}
