import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lchownSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { hasErrno } from "../../lib/sys/errno.js";
import { AgentError } from "../error.js";

const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, O_WRONLY, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } = constants;

/** Where copies may go: beside what the sandbox's share would have shown. */
const COPY_ROOT = "/run/kata-containers/shared/containers";

/** A file, directory or symbolic link that the host hands over instead of sharing it (CopyFile). */
export interface FileCopy {
  readonly path: string;
  /** Of the whole file: the last part is the one that reaches it. */
  readonly sizeBytes: number;
  /** Type and permissions, as in st_mode. */
  readonly mode: number;
  /** Permissions of directories that have to be made. */
  readonly directoryMode: number;
  readonly uid: number;
  readonly gid: number;
  readonly offsetBytes: number;
  /** A part of the file, or the target of the link. */
  readonly data: Uint8Array;
}

/**
 * Writes a part of a file, or makes a directory or link. A file appears under its name when it is complete. No symbolic link
 * is followed, so that a container cannot divert what is written.
 *
 * @throws AgentError INVALID_ARGUMENT for a path outside of the root and for other kinds of files.
 */
export function copyFile(copy: FileCopy, root = COPY_ROOT): void {
  const names = namesBelow(root, copy.path);
  const name = names.pop();
  if (name === undefined)
    throw new AgentError("INVALID_ARGUMENT", `CopyFile: ${copy.path} is the root itself`);
  mkdirSync(root, { recursive: true });
  let directory = openSync(root, O_RDONLY | O_DIRECTORY);
  try {
    for (const each of names) {
      const inner = openDirectory(directory, each, copy.directoryMode);
      closeSync(directory);
      directory = inner;
    }
    place(copy, directory, name);
  } finally {
    closeSync(directory);
  }
}

function place(copy: FileCopy, directory: number, name: string): void {
  const path = `/proc/self/fd/${directory}/${name}`;
  switch (copy.mode & S_IFMT) {
    case S_IFDIR: {
      const made = openDirectory(directory, name, copy.mode);
      setOwnerAndMode(made, copy);
      closeSync(made);
      break;
    }
    case S_IFLNK:
      rmSync(path, { recursive: true, force: true });
      symlinkSync(Buffer.from(copy.data).toString("utf8"), path);
      lchownSync(path, copy.uid, copy.gid);
      break;
    case S_IFREG:
    case 0:
      writePart(copy, path);
      break;
    default:
      throw new AgentError("INVALID_ARGUMENT", `CopyFile: ${copy.path} is no file, directory or link`);
  }
}

function writePart(copy: FileCopy, path: string): void {
  const partial = `${path}.partial`;
  if (copy.offsetBytes === 0) rmSync(partial, { recursive: true, force: true });
  const file = openSync(partial, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    let written = 0;
    while (written < copy.data.length) {
      const left = copy.data.length - written;
      written += writeSync(file, copy.data, written, left, copy.offsetBytes + written);
    }
    if (copy.offsetBytes + copy.data.length < copy.sizeBytes) return;
    setOwnerAndMode(file, copy);
  } finally {
    closeSync(file);
  }
  rmSync(path, { recursive: true, force: true });
  renameSync(partial, path);
}

function setOwnerAndMode(fd: number, { uid, gid, mode }: FileCopy): void {
  fchownSync(fd, uid, gid);
  fchmodSync(fd, mode & 0o7777);
}

/** Opens the directory `name`, made if need be. */
function openDirectory(parent: number, name: string, mode: number): number {
  const path = `/proc/self/fd/${parent}/${name}`;
  try {
    mkdirSync(path, mode & 0o7777);
  } catch (error) {
    if (!hasErrno(error, "EEXIST")) throw error;
  }
  return openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

function namesBelow(root: string, path: string): string[] {
  const names = path.startsWith(`${root}/`) ? path.slice(root.length).split("/").filter(Boolean) : [];
  if (names.length === 0 || names.some((name) => name === "." || name === ".." || name.includes("\0"))) {
    throw new AgentError("INVALID_ARGUMENT", `CopyFile: ${path} is not below ${root}`);
  }
  return names;
}
