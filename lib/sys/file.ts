import { constants as fsConstants } from "node:fs";
import { bind } from "./libc.js";

/**
 * System calls on files, for code that works relative to descriptors and in preallocated memory. They return what the C
 * library returns: -1 with the reason in errno ({@link import("./libc.js").lastErrno}), and never throw.
 * A path or name is the address of NUL-terminated bytes; so are buffers and structures.
 */
type Fd = number;
type Address = number;

export const close = /* @__PURE__ */ bind<(fd: Fd) => number>("int close(int fd)");
export const openat = /* @__PURE__ */ bind<(dir: Fd, path: Address, flags: number, mode: number) => number>(
  "int openat(int dir, uintptr_t path, int flags, uint32_t mode)",
);
export const statx = /* @__PURE__ */ bind<
  (dir: Fd, path: Address, flags: number, mask: number, out: Address) => number
>("int statx(int dir, uintptr_t path, int flags, uint32_t mask, uintptr_t out)");
export const fstatfs = /* @__PURE__ */ bind<(fd: Fd, out: Address) => number>(
  "int fstatfs(int fd, uintptr_t out)",
);

export const preadv = /* @__PURE__ */ bind<
  (fd: Fd, iovecs: Address, count: number, offset: number | bigint) => number
>("int64_t preadv(int fd, uintptr_t iovecs, int count, int64_t offset)");
export const pwritev = /* @__PURE__ */ bind<
  (fd: Fd, iovecs: Address, count: number, offset: number | bigint) => number
>("int64_t pwritev(int fd, uintptr_t iovecs, int count, int64_t offset)");
export const pwritev2 = /* @__PURE__ */ bind<
  (fd: Fd, iovecs: Address, count: number, offset: number | bigint, flags: number) => number
>("int64_t pwritev2(int fd, uintptr_t iovecs, int count, int64_t offset, int flags)");
/** Of {@link pwritev2}: at the end of the file, wherever the offset is. */
export const RWF_APPEND = 0x10;
/** `whence` as in lseek(2): see {@link SEEK_DATA} and {@link SEEK_HOLE}. */
export const lseek = /* @__PURE__ */ bind<
  (fd: Fd, offset: number | bigint, whence: number) => number | bigint
>("int64_t lseek(int fd, int64_t offset, int whence)");
export const ftruncate = /* @__PURE__ */ bind<(fd: Fd, length: number | bigint) => number>(
  "int ftruncate(int fd, int64_t length)",
);
export const fallocate = /* @__PURE__ */ bind<
  (fd: Fd, mode: number, offset: number | bigint, length: number | bigint) => number
>("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
/** The offsets are addresses of an int64_t each, which the call moves on. */
export const copyFileRange = /* @__PURE__ */ bind<
  (from: Fd, fromOffset: Address, to: Fd, toOffset: Address, length: number, flags: number) => number
>(
  "int64_t copy_file_range(int from, uintptr_t fromOffset, int to, uintptr_t toOffset, size_t length, uint32_t flags)",
);
export const fsync = /* @__PURE__ */ bind<(fd: Fd) => number>("int fsync(int fd)");
export const fdatasync = /* @__PURE__ */ bind<(fd: Fd) => number>("int fdatasync(int fd)");
export const syncfs = /* @__PURE__ */ bind<(fd: Fd) => number>("int syncfs(int fd)");

export const getdents64 = /* @__PURE__ */ bind<(fd: Fd, out: Address, length: number) => number>(
  "int64_t getdents64(int fd, uintptr_t out, size_t length)",
);
export const readlinkat = /* @__PURE__ */ bind<
  (dir: Fd, path: Address, out: Address, length: number) => number
>("int64_t readlinkat(int dir, uintptr_t path, uintptr_t out, size_t length)");

export const mkdirat = /* @__PURE__ */ bind<(dir: Fd, path: Address, mode: number) => number>(
  "int mkdirat(int dir, uintptr_t path, uint32_t mode)",
);
export const mknodat = /* @__PURE__ */ bind<(dir: Fd, path: Address, mode: number, device: number) => number>(
  "int mknodat(int dir, uintptr_t path, uint32_t mode, uint64_t device)",
);
export const symlinkat = /* @__PURE__ */ bind<(target: Address, dir: Fd, path: Address) => number>(
  "int symlinkat(uintptr_t target, int dir, uintptr_t path)",
);
export const linkat = /* @__PURE__ */ bind<
  (fromDir: Fd, from: Address, toDir: Fd, to: Address, flags: number) => number
>("int linkat(int fromDir, uintptr_t from, int toDir, uintptr_t to, int flags)");
export const unlinkat = /* @__PURE__ */ bind<(dir: Fd, path: Address, flags: number) => number>(
  "int unlinkat(int dir, uintptr_t path, int flags)",
);
export const renameat2 = /* @__PURE__ */ bind<
  (fromDir: Fd, from: Address, toDir: Fd, to: Address, flags: number) => number
>("int renameat2(int fromDir, uintptr_t from, int toDir, uintptr_t to, uint32_t flags)");

export const fchmodat = /* @__PURE__ */ bind<(dir: Fd, path: Address, mode: number, flags: number) => number>(
  "int fchmodat(int dir, uintptr_t path, uint32_t mode, int flags)",
);
export const fchownat = /* @__PURE__ */ bind<
  (dir: Fd, path: Address, uid: number, gid: number, flags: number) => number
>("int fchownat(int dir, uintptr_t path, uint32_t uid, uint32_t gid, int flags)");
/** `times` is the address of two `struct timespec`. */
export const utimensat = /* @__PURE__ */ bind<
  (dir: Fd, path: Address, times: Address, flags: number) => number
>("int utimensat(int dir, uintptr_t path, uintptr_t times, int flags)");

export const setxattr = /* @__PURE__ */ bind<
  (path: Address, name: Address, value: Address, size: number, flags: number) => number
>("int setxattr(uintptr_t path, uintptr_t name, uintptr_t value, size_t size, int flags)");
export const getxattr = /* @__PURE__ */ bind<
  (path: Address, name: Address, value: Address, size: number) => number
>("int64_t getxattr(uintptr_t path, uintptr_t name, uintptr_t value, size_t size)");
export const listxattr = /* @__PURE__ */ bind<(path: Address, list: Address, size: number) => number>(
  "int64_t listxattr(uintptr_t path, uintptr_t list, size_t size)",
);
export const removexattr = /* @__PURE__ */ bind<(path: Address, name: Address) => number>(
  "int removexattr(uintptr_t path, uintptr_t name)",
);

/** ioctl(2) for the commands whose argument is an address. */
export const ioctl = /* @__PURE__ */ bind<(fd: Fd, command: number, argument: Address) => number>(
  "int ioctl(int fd, uint64_t command, uintptr_t argument)",
);
/** Sets the mask of the whole process. @returns the one before */
export const umask = /* @__PURE__ */ bind<(mask: number) => number>("uint32_t umask(uint32_t mask)");

/** fcntl(2) for the commands whose argument is an int. */
export const fcntl = /* @__PURE__ */ bind<(fd: Fd, command: number, argument: number) => number>(
  "int fcntl(int fd, int command, int argument)",
);

// Open flags. Those that differ between architectures come from Node.
export const {
  O_RDONLY,
  O_WRONLY,
  O_RDWR,
  O_CREAT,
  O_EXCL,
  O_TRUNC,
  O_APPEND,
  O_NONBLOCK,
  O_DIRECTORY,
  O_NOFOLLOW,
} = fsConstants;
export const { O_SYNC, O_DSYNC, O_DIRECT, O_NOATIME } = fsConstants;
export const O_ACCMODE = 0o3;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20000000 | O_DIRECTORY;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_EMPTY_PATH = 0x1000;

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

export const SEEK_SET = 0;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

export const UTIME_NOW = 0x3fffffff;
export const UTIME_OMIT = 0x3ffffffe;

export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;

/** Mount flag in `f_flags` of statfs(2). */
export const ST_RDONLY = 1;

export const F_DUPFD_CLOEXEC = 1030;
export const F_GETFL = 3;
export const F_SETFL = 4;

/** fcntl command that stores a signal number with the open file description. */
export const F_SETSIG = 10;
export const F_GETSIG = 11;
