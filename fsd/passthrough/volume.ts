import { Errno } from "../../lib/sys/errno.js";
import { fstatfs, S_IFDIR } from "../../lib/sys/file.js";
import { addressOf, lastErrno } from "../../lib/sys/libc.js";
import { IN_HEADER_BYTES, OUT_HEADER_BYTES } from "../fuse/constants.js";
import type { Operation } from "./operation.js";

const STATFS_OUT_BYTES = 80;
const W_OK = 2;

/** struct statfs of 64-bit Linux. */
const statfsBuffer = new DataView(new ArrayBuffer(120));
const statfsAddress = addressOf(statfsBuffer);

export const statfs: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  const fd = fs.pathFd(slot);
  if (fd < 0) return fd;
  if (fstatfs(fd, statfsAddress) < 0) return -lastErrno();
  const view = reply.view;
  // f_blocks, f_bfree, f_bavail, f_files, f_ffree stand side by side in both structures.
  for (let field = 0; field < 40; field += 4) {
    view.setUint32(OUT_HEADER_BYTES + field, statfsBuffer.getUint32(16 + field, true), true);
  }
  view.setUint32(OUT_HEADER_BYTES + 40, statfsBuffer.getUint32(8, true), true);
  view.setUint32(OUT_HEADER_BYTES + 44, statfsBuffer.getUint32(64, true), true);
  view.setUint32(OUT_HEADER_BYTES + 48, statfsBuffer.getUint32(72, true), true);
  reply.bytes.fill(0, OUT_HEADER_BYTES + 52, OUT_HEADER_BYTES + STATFS_OUT_BYTES);
  return STATFS_OUT_BYTES;
};

/** FUSE_ACCESS, by the mode alone: with default_permissions the guest's kernel has asked itself before. */
export const access: Operation = (fs, request) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(IN_HEADER_BYTES + 8)) return -Errno.EINVAL;
  const mask = request.uint32(IN_HEADER_BYTES) & 7;
  if ((mask & W_OK) !== 0 && fs.policies.isReadOnly(slot)) return -Errno.EROFS;
  const result = fs.stat(slot);
  if (result < 0 || mask === 0) return result;
  const { mode, uid, gid, type } = fs.statx;
  if (request.uid === 0) {
    const isExecutable = type === S_IFDIR || (mask & 1) === 0 || (mode & 0o111) !== 0;
    return isExecutable ? 0 : -Errno.EACCES;
  }
  const isOwner = fs.uids.toHost(request.uid) === uid;
  const shift = isOwner ? 6 : fs.gids.toHost(request.gid) === gid ? 3 : 0;
  return ((mode >>> shift) & mask) === mask ? 0 : -Errno.EACCES;
};
