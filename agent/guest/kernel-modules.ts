import { closeSync, openSync, readFileSync } from "node:fs";
import { GUEST_MODULES, GuestLayout } from "../../guest/layout.js";
import { hasErrno, SysError } from "../../lib/sys/errno.js";
import { bindLazily, lastErrno } from "../../lib/sys/libc.js";
import { AgentError } from "../error.js";

/** Number of finit_module(2), which the C library does not wrap. */
const SYS_FINIT_MODULE: Readonly<Partial<Record<NodeJS.Architecture, number>>> = { x64: 313, arm64: 273 };

/** Groups of modules in the order of the guest's list. */
const GROUPS = Object.keys(GUEST_MODULES);

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

/** Loads the modules of one group; none where the kernel has everything built in. */
export function loadModuleGroup(name: keyof typeof GUEST_MODULES): void {
  const files = readModuleGroups(`/${GuestLayout.moduleList}`)[GROUPS.indexOf(name)] ?? [];
  for (const path of files) loadModule(path);
}

/**
 * The module files that `listFile` names, one absolute path a line, dependencies first, a blank line between two groups;
 * none if there is no such file.
 */
export function readModuleGroups(listFile: string): string[][] {
  try {
    return parseModuleGroups(readFileSync(listFile, "utf8"));
  } catch (error) {
    // A kernel with everything built in needs no list.
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** The same from the text of the file. A group may be empty. */
export function parseModuleGroups(text: string): string[][] {
  const groups: string[][] = [[]];
  for (const line of text.replace(/\n$/, "").split("\n")) {
    const path = line.trim();
    if (path === "") groups.push([]);
    else groups.at(-1)?.push(path);
  }
  return groups;
}
