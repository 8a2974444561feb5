import { Errno } from "../../lib/sys/errno.js";
import { umask } from "../../lib/sys/file.js";
import { lastErrno } from "../../lib/sys/libc.js";
import { FUSE_INVALID_UIDGID } from "../fuse/constants.js";
import { RequestExtensions } from "../fuse/extensions.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import { FORBIDDEN_ID } from "./id-map.js";

const PERMISSIONS = 0o777;

/** What the request that {@link actAsCreator} was called for says besides its arguments. */
export const extensions = new RequestExtensions();

/**
 * Lets what is made next belong to the caller in the guest. Ends with {@link actAsSelf}.
 * @returns 0; -EOVERFLOW for a caller whose ids the guest's mount does not know; -EPERM for one that is forbidden
 */
export function actAsCaller(fs: FileSystem, request: FuseRequest): number {
  if (request.uid === FUSE_INVALID_UIDGID || request.gid === FUSE_INVALID_UIDGID) return -Errno.EOVERFLOW;
  const uid = fs.uids.toHost(request.uid);
  const gid = fs.gids.toHost(request.gid);
  if (uid === FORBIDDEN_ID || gid === FORBIDDEN_ID) return -Errno.EPERM;
  fs.credentials.keepSetIdBits(true);
  fs.credentials.actAs(uid, gid);
  return 0;
}

/**
 * {@link actAsCaller} for a request that makes something and may have extensions behind its arguments, which end at `end`: with the
 * caller's supplementary group, and with its umask, which the guest leaves to us with FUSE_DONT_MASK and has applied before without. The
 * host's kernel applies it, or the default ACL of the directory in its stead.
 */
export function actAsCreator(fs: FileSystem, request: FuseRequest, end: number, mask: number): number {
  let result = extensions.read(request, end);
  if (result === 0) result = actAsCaller(fs, request);
  if (result < 0) return result;
  if (extensions.group >= 0) {
    const group = fs.gids.toHost(extensions.group);
    if (group !== FORBIDDEN_ID) fs.credentials.addGroup(group);
  }
  fs.creationMask = mask & PERMISSIONS;
  if (fs.creationMask !== 0) umask(fs.creationMask);
  return 0;
}

/** Ends {@link actAsCaller} and {@link actAsCreator}. @returns `result` of the system call in between, or -errno of it. */
export function actAsSelf(fs: FileSystem, result: number): number {
  const outcome = result < 0 ? -lastErrno() : result;
  fs.credentials.actAsSelf();
  if (fs.creationMask !== 0) {
    umask(0);
    fs.creationMask = 0;
  }
  return outcome;
}
