import { Errno } from "../../lib/sys/errno.js";
import { S_IFREG } from "../../lib/sys/file.js";
import { FUSE_SETUPMAPPING_FLAG_WRITE, IN_HEADER_BYTES, REMOVEMAPPING_ONE_BYTES } from "../fuse/constants.js";
import type { Operation } from "./operation.js";

const ARGUMENTS = IN_HEADER_BYTES;
const SETUPMAPPING_IN_BYTES = 40;
/** struct fuse_removemapping_in has only `count`: the list follows without padding. */
const REMOVEMAPPING_IN_BYTES = 4;

/** FUSE_SETUPMAPPING. The guest names the file by node id alone: the handle is always -1. */
export const setupmapping: Operation = (fs, request) => {
  if (fs.dax === null) return -Errno.ENOSYS;
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(ARGUMENTS + SETUPMAPPING_IN_BYTES)) return -Errno.EINVAL;
  if (fs.inodes.type(slot) !== S_IFREG) return -Errno.EINVAL;
  // A writable map would have to grow with the file, which no released QEMU can do; and nobody may write to an image layer.
  if (!fs.policies.isReadOnly(slot) || !fs.policies.isMappable(slot)) return -Errno.EOPNOTSUPP;
  if ((request.uint32(ARGUMENTS + 24) & FUSE_SETUPMAPPING_FLAG_WRITE) !== 0) return -Errno.EROFS;
  let sizeBytes = Number.POSITIVE_INFINITY;
  if (fs.policies.of(slot).isImmutable) {
    const result = fs.stat(slot);
    if (result < 0) return result;
    sizeBytes = fs.statx.sizeBytes;
  }
  const fileOffset = request.uint64(ARGUMENTS + 8);
  const lengthBytes = request.uint64(ARGUMENTS + 16);
  return fs.dax.map(slot, fileOffset, request.uint64(ARGUMENTS + 32), lengthBytes, sizeBytes);
};

/** FUSE_REMOVEMAPPING: all that can be taken back is taken back; the first error is the answer. */
export const removemapping: Operation = (fs, request) => {
  if (fs.dax === null) return -Errno.ENOSYS;
  if (!request.has(ARGUMENTS + REMOVEMAPPING_IN_BYTES)) return -Errno.EINVAL;
  const count = request.uint32(ARGUMENTS);
  const list = ARGUMENTS + REMOVEMAPPING_IN_BYTES;
  if (!request.has(list + count * REMOVEMAPPING_ONE_BYTES)) return -Errno.EINVAL;
  let result = 0;
  for (let index = 0; index < count; index++) {
    const one = list + index * REMOVEMAPPING_ONE_BYTES;
    const outcome = fs.dax.unmap(request.uint64(one), request.uint64(one + 8));
    if (result === 0) result = outcome;
  }
  return result;
};
