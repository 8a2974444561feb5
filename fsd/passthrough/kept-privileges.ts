import { Errno } from "../../lib/sys/errno.js";
import { AT_FDCWD, fchmodat, getxattr, S_IFREG, setxattr } from "../../lib/sys/file.js";
import { lastErrno, permanentAddressOf } from "../../lib/sys/libc.js";
import { FATTR_GID, FATTR_KILL_SUIDGID, FATTR_MODE, FATTR_SIZE, FATTR_UID } from "../fuse/constants.js";
import type { FileSystem } from "./file-system.js";

const PERMISSIONS = 0o7777;
const SET_ID_BITS = 0o6000;
/** struct vfs_ns_cap_data, the longest form. */
const CAPABILITY_BYTES = 24;

const nameAddress = permanentAddressOf(Buffer.from("security.capability\0"));

/** What is kept from {@link savePrivileges} to {@link restorePrivileges}, within one request; only the host's kernel looks at it. */
const capabilityAddress = permanentAddressOf(new Uint8Array(CAPABILITY_BYTES));
let capabilityBytes = 0;
/** The mode whose bits are kept, or 0. */
let keptMode = 0;

/**
 * Notes what a file may do by itself: its capabilities, and its set-user-ID and set-group-ID bits. The host takes them away
 * whenever a file gets another owner or size. In the guest that is decided by the guest's kernel: it removes the capabilities
 * itself before it asks for the change, and says whether the bits are to go. When an overlay copies a file up, it gives the new
 * file all of these, and then owner and size.
 *
 * @param valid of the FUSE_SETATTR that is to be done @returns 0, or -errno
 */
export function savePrivileges(fs: FileSystem, slot: number, valid: number): number {
  capabilityBytes = 0;
  keptMode = 0;
  if (fs.inodes.type(slot) !== S_IFREG || (valid & (FATTR_UID | FATTR_GID | FATTR_SIZE)) === 0) return 0;
  const path = fs.path(slot);
  if (path < 0) return path;
  capabilityBytes = Math.max(0, getxattr(path, nameAddress, capabilityAddress, CAPABILITY_BYTES));
  if ((valid & (FATTR_UID | FATTR_GID)) === 0) return 0;
  const result = fs.stat(slot);
  if (result < 0) return result;
  const { mode, linkCount } = fs.statx;
  // A guest whose daemon handles these bits wants them gone at each change of owner, and cannot tell a copy-up from chown(2).
  // What has no name yet is being copied up.
  const isCopiedUp = linkCount === 0 && fs.policies.of(slot).isOverlay;
  if ((valid & FATTR_KILL_SUIDGID) === 0 || isCopiedUp) keptMode = mode & PERMISSIONS;
  return 0;
}

/** Gives back what was noted. @param mode that was asked for, with FATTR_MODE in `valid` @returns 0, or -errno */
export function restorePrivileges(fs: FileSystem, slot: number, valid: number, mode: number): number {
  const kept = (valid & FATTR_MODE) !== 0 && keptMode !== 0 ? mode : keptMode;
  if ((kept & SET_ID_BITS) !== 0) {
    const path = fs.path(slot);
    if (path < 0) return path;
    fs.credentials.keepSetIdBits(true);
    if (fchmodat(AT_FDCWD, path, kept, 0) < 0) return -lastErrno();
  }
  if (capabilityBytes === 0) return 0;
  const path = fs.path(slot);
  if (path < 0) return path;
  if (setxattr(path, nameAddress, capabilityAddress, capabilityBytes, 0) >= 0) return 0;
  const errno = lastErrno();
  // A daemon without CAP_SETFCAP gives none: the file may do less then, never more.
  return errno === Errno.EPERM ? 0 : -errno;
}
