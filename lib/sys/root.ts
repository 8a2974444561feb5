import { bindLazily, check } from "./libc.js";
import { MNT_DETACH, unmount } from "./mount.js";
import { architectureOfHost, syscallNumber } from "./syscall-number.js";

const syscallWithPaths = bindLazily<(nr: number, newRoot: string, putOld: string) => number>(
  "int64_t syscall(int64_t nr, const char *newRoot, const char *putOld)",
);
const chroot = bindLazily<(path: string) => number>("int chroot(const char *path)");
const fchdir = bindLazily<(fd: number) => number>("int fchdir(int fd)");

/**
 * Makes the mount at `newRoot` the root of the mount namespace, for every thread in it, and lets go of the old root: "pivot_root(".",
 * ".")" of pivot_root(2). The working directory is the new root then.
 *
 * @throws SysError; EINVAL if the present root is no mount, as after chroot(2) or in an initramfs
 */
export function pivotRoot(newRoot: string): void {
  const architecture = architectureOfHost();
  const nr = architecture === undefined ? undefined : syscallNumber("pivot_root", architecture);
  if (nr === undefined) throw new Error(`pivot_root: its number on ${process.arch} is not known`);
  process.chdir(newRoot);
  check(syscallWithPaths(nr, ".", "."), "pivot_root", newRoot);
  // The old root lies on top of the new one now.
  unmount(".", MNT_DETACH);
  process.chdir("/");
}

/** chroot(2), with the new root as working directory. @throws SysError; EPERM without CAP_SYS_CHROOT */
export function changeRoot(newRoot: string): void {
  check(chroot(newRoot), "chroot", newRoot);
  process.chdir("/");
}

/** fchdir(2). @throws SysError */
export function changeDirectory(fd: number): void {
  check(fchdir(fd), "fchdir");
}
