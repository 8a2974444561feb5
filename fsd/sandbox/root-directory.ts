import { closeSync, mkdirSync, openSync, realpathSync } from "node:fs";
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from "../../lib/sys/file.js";
import {
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  MS_SLAVE,
  mount,
} from "../../lib/sys/mount.js";
import { MountAttribute, MountTree } from "../../lib/sys/mount-tree.js";
import { changeDirectory, changeRoot, pivotRoot } from "../../lib/sys/root.js";
import { SandboxError } from "./error.js";

/** A directory that the daemon serves. */
export interface SharedDirectory {
  readonly path: string;
  /** Nothing below it is written to by the daemon, whoever runs it. */
  readonly readOnly: boolean;
}

/** Present on every system, and of no use to the daemon itself: the new root is put together here. */
const STAGE = "/proc";
const OWN_DESCRIPTORS = "/proc/self/fd";
/** Directories and mount points only. */
const ROOT_OPTIONS = "mode=755,size=64k,nr_inodes=1k";
const CONFINED = MountAttribute.noSuid | MountAttribute.noDevices | MountAttribute.noExec;

/**
 * Gives the process a root directory that holds the shared directories and the process's own descriptors, and nothing else. It must
 * be in a mount namespace of its own. Mounts that the host makes below a shared directory later on appear here as well.
 *
 * - /share/0, /share/1, …: one for each of `directories`, with what is mounted below; devices cannot be opened there, nothing be run
 * - /proc/self/fd: the way from an O_PATH descriptor to a descriptor with rights
 *
 * @returns where the directories are now, in their order
 * @throws SysError
 */
export function enterOwnRoot(directories: readonly SharedDirectory[]): string[] {
  // Nothing of what follows may reach the namespace that this one was copied from.
  mount("", "/", "", MS_SLAVE | MS_REC);
  const trees = directories.map(({ path, readOnly }) => {
    const tree = new MountTree(path, true);
    tree.setAttributes(CONFINED | (readOnly ? MountAttribute.readOnly : 0), true);
    return tree;
  });
  const descriptors = new MountTree(OWN_DESCRIPTORS, false);
  descriptors.setAttributes(CONFINED | MountAttribute.readOnly, false);

  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  mount("tmpfs", STAGE, "tmpfs", flags, ROOT_OPTIONS);
  show(descriptors, OWN_DESCRIPTORS);
  const paths = directories.map((_, index) => `/share/${index}`);
  for (const [index, tree] of trees.entries()) show(tree, paths[index] ?? "");
  pivotRoot(STAGE);
  mount("", "/", "", MS_REMOUNT | MS_BIND | MS_RDONLY | flags);
  return paths;
}

/**
 * Makes the shared directory the root directory of the process, and the directory of its own descriptors the working directory. There is
 * no namespace, so the latter is a way out for a daemon that a guest has taken over: a chroot is what can be had where {@link enterOwnRoot}
 * cannot.
 *
 * @returns where the directories are now, in their order
 * @throws SandboxError, SysError
 */
export function enterSharedDirectory(directories: readonly SharedDirectory[]): string[] {
  const [path, ...others] = new Set(directories.map((directory) => realpathSync(directory.path)));
  if (path === undefined || others.length > 0) {
    throw new SandboxError(
      `--sandbox=chroot: one shared directory is possible, not ${others.length + 1}; use --sandbox=namespace`,
    );
  }
  const descriptors = openSync(OWN_DESCRIPTORS, O_PATH | O_DIRECTORY | O_CLOEXEC);
  try {
    changeRoot(path);
    changeDirectory(descriptors);
  } finally {
    closeSync(descriptors);
  }
  return directories.map(() => "/");
}

function show(tree: MountTree, path: string): void {
  mkdirSync(`${STAGE}${path}`, { recursive: true });
  tree.attach(`${STAGE}${path}`);
  tree.close();
}
