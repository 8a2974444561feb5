import { addressOf, bindLazily, check } from "../../lib/sys/libc.js";
import {
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../../lib/sys/openat2.js";

// System calls that Node.js does not have, or not in this form. They run on the calling thread.

const setxattr = bindLazily<
  (path: Buffer, name: string, value: Buffer, size: number, flags: number) => number
>("int setxattr(const void *path, const char *name, const void *value, size_t size, int flags)");
const utimensat = bindLazily<(dir: number, path: Buffer, times: number, flags: number) => number>(
  "int utimensat(int dir, const void *path, uintptr_t times, int flags)",
);
const mknodat = bindLazily<(dir: number, path: Buffer, mode: number, device: number) => number>(
  "int mknodat(int dir, const void *path, uint32_t mode, uint64_t device)",
);
const statx = bindLazily<(dir: number, path: Buffer, flags: number, mask: number, out: Buffer) => number>(
  "int statx(int dir, const void *path, int flags, uint32_t mask, void *out)",
);

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_STATX_FORCE_SYNC = 0x2000;
const STATX_BASIC_STATS = 0x7ff;
const STATX_BYTES = 256;
const UTIME_NOW = 0x3fff_ffffn;
const UTIME_OMIT = 0x3fff_fffen;

const O_PATH = 0o10000000;
const O_DIRECTORY = 0o200000;
const O_CLOEXEC = 0o2000000;

/** Sets an extended attribute. @throws SysError */
export function setAttribute(path: Buffer, name: string, value: Buffer): void {
  check(setxattr(withNul(path), name, value, value.length, 0), "setxattr", name);
}

/** Sets the modification time, and the access time if wanted, to now; symbolic links are not followed. @throws SysError */
export function touch(path: Buffer, accessToo: boolean): void {
  const times = BigInt64Array.of(0n, accessToo ? UTIME_NOW : UTIME_OMIT, 0n, UTIME_NOW);
  check(utimensat(AT_FDCWD, withNul(path), addressOf(times), AT_SYMLINK_NOFOLLOW), "utimensat", String(path));
}

/** Has the kernel ask the file system for a file's attributes, whatever it remembers of them. @throws SysError */
export function statFresh(path: Buffer): void {
  const flags = AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW;
  const out = Buffer.alloc(STATX_BYTES);
  check(statx(AT_FDCWD, withNul(path), flags, STATX_BASIC_STATS, out), "statx", String(path));
}

/** Makes a file of any type but directory and symbolic link. @throws SysError */
export function makeNode(path: Buffer, mode: number): void {
  check(mknodat(AT_FDCWD, withNul(path), mode, 0), "mknod", String(path));
}

/**
 * Opens a directory below another one without rights. Nothing on the way may be a symbolic link: a container might have put it there.
 * @throws SysError
 */
export function openBelow(directory: number, path: Buffer): number {
  const from = path.length === 0 ? Buffer.from(".") : path;
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const fd = openat2(directory, withNul(from), O_PATH | O_DIRECTORY | O_CLOEXEC, resolve);
  return check(fd, "openat2", String(path));
}

function withNul(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.of(0)]);
}
