import { Errno } from "../../lib/sys/errno.js";
import { IN_HEADER_BYTES, OUT_HEADER_BYTES, STATX_OUT_BYTES } from "../fuse/constants.js";
import { writeAttrValidity } from "../fuse/reply.js";
import type { Operation } from "./operation.js";

const STATX_IN_BYTES = 24;
/** struct fuse_statx in struct fuse_statx_out. */
const STAT = OUT_HEADER_BYTES + 32;

/** FUSE_STATX, which guests send when a program asks when a file was made. */
export const statx: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(IN_HEADER_BYTES + STATX_IN_BYTES)) return -Errno.EINVAL;
  const result = fs.stat(slot);
  if (result < 0) return result;
  reply.bytes.fill(0, OUT_HEADER_BYTES, OUT_HEADER_BYTES + STATX_OUT_BYTES);
  writeAttrValidity(reply.view, OUT_HEADER_BYTES, fs.attributes.validity(slot));
  fs.attributes.writeStatx(reply, STAT, slot);
  return STATX_OUT_BYTES;
};
