import { closeSync, openSync, readFileSync } from "node:fs";
import { hasErrno, SysError } from "../../lib/sys/errno.js";
import { bindLazily, lastErrno } from "../../lib/sys/libc.js";
import { AgentError } from "../error.js";

/** Number of finit_module(2), which the C library does not wrap. */
const SYS_FINIT_MODULE: Readonly<Partial<Record<NodeJS.Architecture, number>>> = { x64: 313, arm64: 273 };

/** Kernel modules of the guest: files in load order, in groups that blank lines separate. */
export const MODULE_LIST = "/usr/lib/kata-fs/modules";
/** The last group of the list: guest/layout.ts. */
const PLUGGED_DISKS = 5;

const finitModule = bindLazily<(number: number, fd: number, parameters: string, flags: number) => number>(
  "int64_t syscall(int64_t number, int64_t fd, const char *parameters, int64_t flags)",
);

/**
 * Loads one decompressed module file. A module that is there already is left as it is. Throws an Error that names the file.
 */
export function loadModule(path: string, parameters = ""): void {
  const number = SYS_FINIT_MODULE[process.arch];
  if (number === undefined) {
    throw new AgentError("UNIMPLEMENTED", `kernel modules cannot be loaded on ${process.arch}`);
  }
  const fd = openSync(path, "r");
  try {
    if (finitModule(number, fd, parameters, 0) < 0) {
      const error = SysError.fromErrno(lastErrno(), "finit_module", path);
      if (!hasErrno(error, "EEXIST")) throw error;
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * The module files that `listFile` names, one absolute path a line, dependencies first, in groups that blank lines separate;
 * none if there is no such file.
 */
export function readModuleGroups(listFile = MODULE_LIST): string[][] {
  try {
    return parseModuleGroups(readFileSync(listFile, "utf8"));
  } catch (error) {
    // A kernel with everything built in needs no list.
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** Loads the drivers of disks that are plugged in, unless the kernel has them. */
export function loadDiskDriver(): void {
  const disks = readModuleGroups()[PLUGGED_DISKS] ?? [];
  for (const path of disks) loadModule(path);
}

/** The same from the text of the file. */
export function parseModuleGroups(text: string): string[][] {
  return text
    .split(/\n\s*\n/)
    .map((group) => group.split("\n").map((line) => line.trim()))
    .map((group) => group.filter((line) => line !== ""));
}
