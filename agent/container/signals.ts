import { readFileSync } from "node:fs";
import { hasErrno } from "../../lib/sys/errno.js";

export const SIGKILL = 9;
export const SIGTERM = 15;

/**
 * Whether the process has a handler for `signal` (proc(5), status, SigCgt). The init of a pid namespace gets no signal it has
 * no handler for, except SIGKILL from outside.
 */
export function handlesSignal(pid: number, signal: number): boolean {
  try {
    return isCaught(readFileSync(`/proc/${pid}/status`, "utf8"), signal);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return false;
    throw error;
  }
}

/** The same from the text of /proc/PID/status: a hexadecimal mask whose lowest bit is signal 1. */
export function isCaught(status: string, signal: number): boolean {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}
