import { closeSync, openSync, readFileSync } from "node:fs";
import { hasErrno, SysError } from "../../lib/sys/errno.js";
import { bindLazily, lastErrno } from "../../lib/sys/libc.js";
import { AgentError } from "../error.js";

/** Number of finit_module(2), which the C library does not wrap. */
const SYS_FINIT_MODULE: Readonly<Partial<Record<NodeJS.Architecture, number>>> = { x64: 313, arm64: 273 };

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
export function readModuleGroups(listFile: string): string[][] {
  try {
    return parseModuleGroups(readFileSync(listFile, "utf8"));
  } catch (error) {
    // A kernel with everything built in needs no list.
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** The same from the text of the file. */
export function parseModuleGroups(text: string): string[][] {
  return text
    .split(/\n\s*\n/)
    .map((group) => group.split("\n").map((line) => line.trim()))
    .map((group) => group.filter((line) => line !== ""));
}
