import { chmodSync, chownSync, closeSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { MNT_DETACH, MS_BIND, MS_REC, MS_REMOUNT, mount, unmount } from "../../lib/sys/mount.js";
import { AgentError } from "../error.js";
import { parseMountOptions } from "./mount-options.js";
import { fitOverlayOptions, OPTIONS_MAX_BYTES } from "./overlay-options.js";
import type { Storage, StorageDriver } from "./storage.js";

/** The driver option of overlayfs storages that asks for a directory, usually upper or work, to be made first. */
const CREATE_DIRECTORY = "io.katacontainers.volume.overlayfs.create_directory";

/** Driver name, as the protocol has it, to driver. */
export const STORAGE_DRIVERS: ReadonlyMap<string, StorageDriver> = new Map<string, StorageDriver>([
  ["virtio-fs", mountVirtioFs],
  ["overlayfs", mountOverlay],
  ["ephemeral", mountEphemeral],
  ["bind", bindMount],
  ["local", makeLocalDirectory],
]);

/** The sandbox's share. A share that is mounted there already, by the kernel or an image's own init, stays. */
function mountVirtioFs(storage: Storage): void {
  if (isMountedAt(storage.source, storage.mountPoint)) return;
  mountFileSystem({ ...storage, fstype: storage.fstype || "virtiofs" });
}

function mountOverlay(storage: Storage): void {
  for (const directory of driverOptions(storage, CREATE_DIRECTORY)) mkdirSync(directory, { recursive: true });
  const { directory, options } = fitOverlayOptions(storage.options);
  const before = process.cwd();
  process.chdir(directory);
  try {
    mountFileSystem({ ...storage, options });
  } finally {
    process.chdir(before);
  }
}

/** Memory of the guest: a tmpfs whose size and mode come with the options. */
function mountEphemeral(storage: Storage): void {
  if (storage.fstype !== "tmpfs") {
    throw new AgentError("UNIMPLEMENTED", `ephemeral storage of type ${storage.fstype} is not supported`);
  }
  const { gid, rest } = takeGroup(storage.options);
  mountFileSystem({ ...storage, options: rest });
  if (gid !== undefined) giveToGroup(storage.mountPoint, gid);
}

/** Shows one file or directory of the guest at another place. */
function bindMount(storage: Storage): void {
  const { flags, propagation } = parseMountOptions(storage.options);
  makeMountPointLike(storage.source, storage.mountPoint);
  mount(storage.source, storage.mountPoint, "", MS_BIND | (flags & MS_REC));
  try {
    // The kernel ignores other flags while binding; they need a second call.
    const restrictions = flags & ~(MS_BIND | MS_REC);
    if (restrictions !== 0) mount("none", storage.mountPoint, "", MS_REMOUNT | MS_BIND | restrictions);
    for (const change of propagation) mount("none", storage.mountPoint, "", change);
  } catch (error) {
    unmount(storage.mountPoint, MNT_DETACH);
    throw error;
  }
}

/** A plain directory of the guest, for containers of the sandbox to share. */
function makeLocalDirectory(storage: Storage): void {
  const { gid, rest } = takeGroup(storage.options);
  const mode = rest.find((option) => option.startsWith("mode="))?.slice("mode=".length) ?? "755";
  if (!/^0?[0-7]{3,4}$/.test(mode)) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `local storage ${storage.mountPoint}: mode "${mode}" is not octal`,
    );
  }
  mkdirSync(storage.mountPoint, { recursive: true });
  chmodSync(storage.mountPoint, Number.parseInt(mode, 8));
  if (gid !== undefined) giveToGroup(storage.mountPoint, gid);
}

function mountFileSystem({ source, mountPoint, fstype, options }: Storage): void {
  const { flags, propagation, data } = parseMountOptions(options);
  const dataBytes = Buffer.byteLength(data);
  // The kernel would cut them off and complain of what is left.
  if (dataBytes > OPTIONS_MAX_BYTES) {
    const found = `storage ${mountPoint}: ${dataBytes} bytes of mount options`;
    throw new AgentError("INVALID_ARGUMENT", `${found} are more than ${OPTIONS_MAX_BYTES}`);
  }
  mkdirSync(mountPoint, { recursive: true });
  mount(source, mountPoint, fstype, flags, data);
  for (const change of propagation) mount("none", mountPoint, "", change);
}

function driverOptions(storage: Storage, key: string): string[] {
  const prefix = `${key}=`;
  return storage.driverOptions
    .filter((option) => option.startsWith(prefix))
    .map((o) => o.slice(prefix.length));
}

/** Separates `fsgid=<gid>`, which is the agent's, from the options that the file system knows. */
function takeGroup(options: readonly string[]): { gid: number | undefined; rest: string[] } {
  const isGroup = (option: string) => /^fsgid=\d+$/.test(option);
  const group = options.find(isGroup);
  return {
    gid: group === undefined ? undefined : Number(group.slice("fsgid=".length)),
    rest: options.filter((option) => !isGroup(option)),
  };
}

/** New files in the directory belong to the group too (the set-group-ID bit). */
function giveToGroup(directory: string, gid: number): void {
  const { uid, mode } = statSync(directory);
  chownSync(directory, uid, gid);
  chmodSync(directory, (mode & 0o7777) | 0o2000);
}

function makeMountPointLike(source: string, mountPoint: string): void {
  if (statSync(source).isDirectory()) {
    mkdirSync(mountPoint, { recursive: true });
  } else {
    mkdirSync(dirname(mountPoint), { recursive: true });
    closeSync(openSync(mountPoint, "a"));
  }
}

/** Looks it up in the kernel's table (proc(5), mounts: source, target, type, …, blanks in octal). */
function isMountedAt(source: string, mountPoint: string): boolean {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .some(([from, at]) => from === source && at === mountPoint);
}
