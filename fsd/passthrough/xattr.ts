import { Errno } from "../../lib/sys/errno.js";
import {
  getxattr as hostGetxattr,
  listxattr as hostListxattr,
  removexattr as hostRemovexattr,
  setxattr as hostSetxattr,
} from "../../lib/sys/file.js";
import { lastErrno } from "../../lib/sys/libc.js";
import { IN_HEADER_BYTES, OUT_HEADER_BYTES } from "../fuse/constants.js";
import { type FuseReply, REPLY_BODY_MAX_BYTES } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import type { Operation } from "./operation.js";

// All name spaces pass: overlayfs in the guest keeps its marks in trusted.overlay.*, and they must be what the host's
// overlayfs finds later. The kernel of the guest has decided who may set what.

const ARGUMENTS = IN_HEADER_BYTES;
const XATTR_NAME_MAX = 255;
const XATTR_SIZE_MAX = 65536;
const GETXATTR_OUT_BYTES = 8;
/** In place of a name: the list of names is asked for. */
const NO_NAME = -1;

/** Address of the attribute name at `offset`, or -errno. */
function takeAttributeName(request: FuseRequest, offset: number): number {
  const length = request.takeString(offset);
  if (length < 0) return length;
  if (length === 0) return -Errno.EINVAL;
  return length > XATTR_NAME_MAX ? -Errno.ERANGE : request.address + offset;
}

export const setxattr: Operation = (fs, request) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(ARGUMENTS + 8)) return -Errno.EINVAL;
  if (fs.isReadOnly(slot)) return -Errno.EROFS;
  const size = request.uint32(ARGUMENTS);
  const flags = request.uint32(ARGUMENTS + 4);
  const name = takeAttributeName(request, ARGUMENTS + 8);
  if (name < 0) return name;
  if (size > XATTR_SIZE_MAX) return -Errno.E2BIG;
  const valueOffset = request.nameEnd;
  if (!request.has(valueOffset + size)) return -Errno.EINVAL;
  const path = fs.path(slot);
  if (path < 0) return path;
  return hostSetxattr(path, name, request.address + valueOffset, size, flags) < 0 ? -lastErrno() : 0;
};

export const getxattr: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(ARGUMENTS + 8)) return -Errno.EINVAL;
  const name = takeAttributeName(request, ARGUMENTS + 8);
  if (name < 0) return name;
  return readAttribute(fs, request, reply, slot, name);
};

export const listxattr: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (!request.has(ARGUMENTS + 8)) return -Errno.EINVAL;
  return readAttribute(fs, request, reply, slot, NO_NAME);
};

/** Answers the value, or the list of names without a `name`; asked with size 0, only how long it is. */
function readAttribute(
  fs: FileSystem,
  request: FuseRequest,
  reply: FuseReply,
  slot: number,
  name: number,
): number {
  const wanted = request.uint32(ARGUMENTS);
  const room = request.writable.byteLength - OUT_HEADER_BYTES;
  const size = Math.min(wanted, room, REPLY_BODY_MAX_BYTES);
  if (wanted > 0 && size <= 0) return -Errno.ERANGE;
  const path = fs.path(slot);
  if (path < 0) return path;
  const result =
    name === NO_NAME
      ? hostListxattr(path, reply.bodyAddress, wanted === 0 ? 0 : size)
      : hostGetxattr(path, name, reply.bodyAddress, wanted === 0 ? 0 : size);
  if (result < 0) return -lastErrno();
  if (wanted > 0) return result;
  reply.view.setUint32(OUT_HEADER_BYTES, result, true);
  reply.view.setUint32(OUT_HEADER_BYTES + 4, 0, true);
  return GETXATTR_OUT_BYTES;
}

export const removexattr: Operation = (fs, request) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (fs.isReadOnly(slot)) return -Errno.EROFS;
  const name = takeAttributeName(request, ARGUMENTS);
  if (name < 0) return name;
  const path = fs.path(slot);
  if (path < 0) return path;
  return hostRemovexattr(path, name) < 0 ? -lastErrno() : 0;
};
