import { execFile } from "node:child_process";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { GuestLayout } from "./layout.js";
import { NodeRuntime } from "./node-runtime.js";

/** Links of a merged /usr, as Debian's base-files has them. */
const MERGED_USR = ["bin", "sbin", "lib", "lib64"];

/** Empty folders: mount points, since the root is read-only, and homes of the few accounts. */
const FOLDERS = [
  "proc",
  "sys",
  "dev",
  "run",
  "tmp",
  "var",
  "root",
  "mnt",
  "etc",
  "usr/bin",
  "usr/sbin",
  "usr/lib64",
];

const FILES: Readonly<Record<string, string>> = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
  "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
  "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
  "etc/hostname": "kata-fs\n",
  "etc/os-release": 'ID=kata-fs\nNAME="kata-fs guest"\nID_LIKE=debian\n',
};

/** Makes the folders and links into which Debian's packages are unpacked. */
export async function createSkeleton(root: string): Promise<void> {
  for (const folder of FOLDERS) await mkdir(join(root, folder), { recursive: true });
  for (const name of MERGED_USR) await symlink(`usr/${name}`, join(root, name));
}

/** Adds what the packages do not bring: accounts, PID 1, the tools of busybox. */
export async function finishOsDirectory(root: string): Promise<void> {
  for (const [path, contents] of Object.entries(FILES)) await writeFile(join(root, path), contents);
  await symlink("/proc/self/mounts", join(root, "etc/mtab"));
  await symlink("/run/resolv.conf", join(root, "etc/resolv.conf"));
  await linkBusyboxTools(root);
  await writeExecutable(join(root, GuestLayout.init), initScript());
}

/** One link a tool in /usr/bin; programs that a package brings win. */
async function linkBusyboxTools(root: string): Promise<void> {
  const busybox = join(root, "usr/bin/busybox");
  const { stdout } = await promisify(execFile)(busybox, ["--list"]);
  for (const tool of stdout
    .split("\n")
    .filter((name) => name !== "" && name !== "init" && name !== "busybox")) {
    await symlink("busybox", join(root, "usr/bin", tool)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}

/**
 * PID 1. Node's own loader and libraries are named here because the guest's C library is another one than the one that
 * this Node was linked to.
 */
function initScript(): string {
  const node = `/${GuestLayout.node}`;
  return `#!/bin/sh
exec ${node}/${NodeRuntime.loader} --library-path ${node}/${NodeRuntime.libraries} ${node}/${NodeRuntime.node} \\
  --no-warnings /${GuestLayout.agentBundle} "$@"
`;
}

async function writeExecutable(file: string, contents: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, contents);
  await chmod(file, 0o755);
}
