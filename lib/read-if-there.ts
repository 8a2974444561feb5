import { readFileSync } from "node:fs";
import { hasErrno } from "./sys/errno.js";

/** The text of a file; undefined when there is no such file. Every other failure is thrown as Node's. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
