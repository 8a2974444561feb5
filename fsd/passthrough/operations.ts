import { Opcode } from "../fuse/constants.js";
import { setattr } from "./attributes.js";
import { removemapping, setupmapping } from "./dax.js";
import { readdir, readdirplus } from "./directory.js";
import { ioctl } from "./ioctl.js";
import { flush, getlk, setlk, setlkw } from "./locks.js";
import { getattr, lookup } from "./lookup.js";
import { link, mkdir, mknod, readlink, rename, rename2, rmdir, symlink, unlink } from "./names.js";
import { create, open, opendir, release, releasedir, tmpfile } from "./open.js";
import type { Operation } from "./operation.js";
import { lseek, read, write } from "./read-write.js";
import { copyFileRange, fallocate } from "./space.js";
import { statx } from "./statx.js";
import { fsync, fsyncdir, syncfs } from "./sync.js";
import { access, statfs } from "./volume.js";
import { getxattr, listxattr, removexattr, setxattr } from "./xattr.js";

/** What serves each opcode; opcodes that are not here are answered with ENOSYS. */
export const operations: Readonly<Record<number, Operation>> = {
  [Opcode.LOOKUP]: lookup,
  [Opcode.GETATTR]: getattr,
  [Opcode.SETATTR]: setattr,
  [Opcode.READLINK]: readlink,
  [Opcode.SYMLINK]: symlink,
  [Opcode.MKNOD]: mknod,
  [Opcode.MKDIR]: mkdir,
  [Opcode.UNLINK]: unlink,
  [Opcode.RMDIR]: rmdir,
  [Opcode.RENAME]: rename,
  [Opcode.LINK]: link,
  [Opcode.OPEN]: open,
  [Opcode.READ]: read,
  [Opcode.WRITE]: write,
  [Opcode.STATFS]: statfs,
  [Opcode.RELEASE]: release,
  [Opcode.FSYNC]: fsync,
  [Opcode.SETXATTR]: setxattr,
  [Opcode.GETXATTR]: getxattr,
  [Opcode.LISTXATTR]: listxattr,
  [Opcode.REMOVEXATTR]: removexattr,
  [Opcode.FLUSH]: flush,
  [Opcode.OPENDIR]: opendir,
  [Opcode.READDIR]: readdir,
  [Opcode.RELEASEDIR]: releasedir,
  [Opcode.FSYNCDIR]: fsyncdir,
  [Opcode.GETLK]: getlk,
  [Opcode.SETLK]: setlk,
  [Opcode.SETLKW]: setlkw,
  [Opcode.ACCESS]: access,
  [Opcode.CREATE]: create,
  [Opcode.FALLOCATE]: fallocate,
  [Opcode.READDIRPLUS]: readdirplus,
  [Opcode.RENAME2]: rename2,
  [Opcode.LSEEK]: lseek,
  [Opcode.COPY_FILE_RANGE]: copyFileRange,
  [Opcode.SETUPMAPPING]: setupmapping,
  [Opcode.REMOVEMAPPING]: removemapping,
  [Opcode.SYNCFS]: syncfs,
  [Opcode.TMPFILE]: tmpfile,
  [Opcode.IOCTL]: ioctl,
  [Opcode.STATX]: statx,
  [Opcode.COPY_FILE_RANGE_64]: copyFileRange,
};
