import { bindLazily, check } from "./libc.js";

const mount2 = bindLazily<
  (source: string, target: string, fstype: string | null, flags: number, data: string | null) => number
>("int mount(const char *source, const char *target, const char *fstype, uint64_t flags, const char *data)");
const umount2 = bindLazily<(target: string, flags: number) => number>(
  "int umount2(const char *target, int flags)",
);

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_SYNCHRONOUS = 16;
export const MS_REMOUNT = 32;
export const MS_MANDLOCK = 64;
export const MS_DIRSYNC = 128;
export const MS_NOSYMFOLLOW = 256;
export const MS_NOATIME = 1024;
export const MS_NODIRATIME = 2048;
export const MS_BIND = 4096;
export const MS_REC = 16384;
export const MS_SILENT = 32768;
export const MS_UNBINDABLE = 1 << 17;
export const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MS_SHARED = 1 << 20;
export const MS_RELATIME = 1 << 21;
export const MS_STRICTATIME = 1 << 24;
export const MS_LAZYTIME = 1 << 25;

/** umount2(2): the mount leaves the tree now and ends when its last user does. */
export const MNT_DETACH = 2;

/** mount(2). `data` is the file system's own option string. Throws a SysError. */
export function mount(source: string, target: string, fstype: string, flags: number, data = ""): void {
  const result = mount2(source, target, fstype === "" ? null : fstype, flags, data === "" ? null : data);
  check(result, "mount", `${source} on ${target} type ${fstype}`);
}

/** umount2(2). Throws a SysError. */
export function unmount(target: string, flags = 0): void {
  check(umount2(target, flags), "umount2", target);
}
