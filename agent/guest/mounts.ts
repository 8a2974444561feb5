import { mkdirSync, symlinkSync } from "node:fs";
import { hasErrno } from "../../lib/sys/errno.js";
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_STRICTATIME, mount } from "../../lib/sys/mount.js";

interface GuestMount {
  readonly target: string;
  readonly fstype: string;
  readonly flags: number;
  readonly data?: string;
}

const SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC;

/** What must be there before anything else: the kernel's command line and the modules for the transport. */
const PROC: GuestMount = { target: "/proc", fstype: "proc", flags: SAFE };

/** The root file system is read-only, so everything that the agent or a runtime writes lies on one of these. */
const MOUNTS: readonly GuestMount[] = [
  { target: "/sys", fstype: "sysfs", flags: SAFE },
  { target: "/dev", fstype: "devtmpfs", flags: MS_NOSUID, data: "mode=0755" },
  {
    target: "/dev/pts",
    fstype: "devpts",
    flags: MS_NOSUID | MS_NOEXEC,
    data: "ptmxmode=0666,mode=0620,gid=5",
  },
  { target: "/dev/shm", fstype: "tmpfs", flags: MS_NOSUID | MS_NODEV, data: "mode=1777" },
  { target: "/run", fstype: "tmpfs", flags: MS_NOSUID | MS_NODEV | MS_STRICTATIME, data: "mode=0755" },
  { target: "/tmp", fstype: "tmpfs", flags: MS_NOSUID | MS_NODEV | MS_STRICTATIME, data: "mode=1777" },
  // nsdelegate makes cgroup namespaces boundaries that containers cannot change limits across (cgroups(7)).
  { target: "/sys/fs/cgroup", fstype: "cgroup2", flags: SAFE, data: "nsdelegate,memory_recursiveprot" },
];

/** Programs expect these in /dev; devtmpfs knows only devices. */
const LINKS: readonly (readonly [path: string, target: string])[] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
];

/** Mounts /proc, for PID 1. */
export function mountProc(): void {
  mountUnlessThere(PROC);
}

/** Mounts the rest of the guest's kernel and temporary file systems, for PID 1. Throws a SysError. */
export function mountGuestFileSystems(): void {
  for (const each of MOUNTS) mountUnlessThere(each);
  for (const [path, target] of LINKS) linkUnlessThere(path, target);
}

function mountUnlessThere({ target, fstype, flags, data }: GuestMount): void {
  if (target.startsWith("/dev/")) mkdirSync(target, { recursive: true });
  try {
    mount(fstype, target, fstype, flags, data);
  } catch (error) {
    // The kernel itself may have mounted it (CONFIG_DEVTMPFS_MOUNT), or an initrd.
    if (!hasErrno(error, "EBUSY")) throw error;
  }
}

function linkUnlessThere(path: string, target: string): void {
  try {
    symlinkSync(target, path);
  } catch (error) {
    if (!hasErrno(error, "EEXIST")) throw error;
  }
}
