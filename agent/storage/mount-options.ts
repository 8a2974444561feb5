import {
  MS_BIND,
  MS_DIRSYNC,
  MS_LAZYTIME,
  MS_MANDLOCK,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_REMOUNT,
  MS_SHARED,
  MS_SILENT,
  MS_SLAVE,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
  MS_UNBINDABLE,
} from "../../lib/sys/mount.js";

/** fstab-style mount options, sorted into what mount(2) takes. */
export interface MountOptions {
  /** MS_* flags other than propagation. */
  readonly flags: number;
  /** Changes of propagation, each of which is a mount(2) call of its own. */
  readonly propagation: readonly number[];
  /** Options of the file system itself, comma-separated, in their order. */
  readonly data: string;
}

/** mount(8)'s file-system-independent options; `clear` for those that take a flag back. */
const FLAGS: ReadonlyMap<string, { readonly flag: number; readonly clear?: boolean }> = new Map([
  ["defaults", { flag: 0 }],
  ["ro", { flag: MS_RDONLY }],
  ["rw", { flag: MS_RDONLY, clear: true }],
  ["nosuid", { flag: MS_NOSUID }],
  ["suid", { flag: MS_NOSUID, clear: true }],
  ["nodev", { flag: MS_NODEV }],
  ["dev", { flag: MS_NODEV, clear: true }],
  ["noexec", { flag: MS_NOEXEC }],
  ["exec", { flag: MS_NOEXEC, clear: true }],
  ["sync", { flag: MS_SYNCHRONOUS }],
  ["async", { flag: MS_SYNCHRONOUS, clear: true }],
  ["dirsync", { flag: MS_DIRSYNC }],
  ["remount", { flag: MS_REMOUNT }],
  ["mand", { flag: MS_MANDLOCK }],
  ["nomand", { flag: MS_MANDLOCK, clear: true }],
  ["nosymfollow", { flag: MS_NOSYMFOLLOW }],
  ["symfollow", { flag: MS_NOSYMFOLLOW, clear: true }],
  ["noatime", { flag: MS_NOATIME }],
  ["atime", { flag: MS_NOATIME, clear: true }],
  ["nodiratime", { flag: MS_NODIRATIME }],
  ["diratime", { flag: MS_NODIRATIME, clear: true }],
  ["relatime", { flag: MS_RELATIME }],
  ["norelatime", { flag: MS_RELATIME, clear: true }],
  ["strictatime", { flag: MS_STRICTATIME }],
  ["nostrictatime", { flag: MS_STRICTATIME, clear: true }],
  ["lazytime", { flag: MS_LAZYTIME }],
  ["nolazytime", { flag: MS_LAZYTIME, clear: true }],
  ["silent", { flag: MS_SILENT }],
  ["loud", { flag: MS_SILENT, clear: true }],
  ["bind", { flag: MS_BIND }],
  ["rbind", { flag: MS_BIND | MS_REC }],
]);

const PROPAGATION: ReadonlyMap<string, number> = new Map([
  ["private", MS_PRIVATE],
  ["rprivate", MS_PRIVATE | MS_REC],
  ["slave", MS_SLAVE],
  ["rslave", MS_SLAVE | MS_REC],
  ["shared", MS_SHARED],
  ["rshared", MS_SHARED | MS_REC],
  ["unbindable", MS_UNBINDABLE],
  ["runbindable", MS_UNBINDABLE | MS_REC],
]);

/** Sorts options; later ones win. Empty options are skipped, unknown ones belong to the file system. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  let flags = 0;
  const propagation: number[] = [];
  const data: string[] = [];
  for (const option of options) {
    const known = FLAGS.get(option);
    const change = PROPAGATION.get(option);
    if (known !== undefined) flags = known.clear ? flags & ~known.flag : flags | known.flag;
    else if (change !== undefined) propagation.push(change);
    else if (option !== "") data.push(option);
  }
  return { flags, propagation, data: data.join(",") };
}
