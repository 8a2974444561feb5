import { Errno } from "../../lib/sys/errno.js";
import { FUSE_INVALID_UIDGID } from "../fuse/constants.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import { FORBIDDEN_ID } from "./id-map.js";

/**
 * Lets what is made next belong to the caller in the guest. Ends with `fs.credentials.actAsSelf()`.
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
