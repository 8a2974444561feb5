import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { Errno, SysError } from "../../lib/sys/errno.js";
import { lastErrno } from "../../lib/sys/libc.js";
import { F_WRLCK, RecordLock } from "../../lib/sys/record-lock.js";
import type { Accelerator } from "./accelerator.js";
import { QemuError } from "./qemu-process.js";

/** User ids for QEMU. */
export interface UserIdRange {
  readonly first: number;
  readonly count: number;
}

/** A user id that no other sandbox of this host has, for as long as it is held. */
export interface QemuUser {
  readonly uid: number;
  /** Gives the id back. The end of this process does so, too. */
  release(): void;
}

/**
 * Takes a user id that no other sandbox has: processes of one user may kill and trace each other, and a QEMU that a guest has taken over
 * must not reach another one. Byte n of `lockFile` is locked by who has the id n above the first; the kernel gives a lock back
 * with its holder's end, so nothing is left to clean up.
 *
 * @throws QemuError when all are taken; SysError
 */
export function takeQemuUser({ first, count }: UserIdRange, lockFile: string): QemuUser {
  mkdirSync(dirname(lockFile), { recursive: true, mode: 0o700 });
  const fd = openSync(lockFile, "a+", 0o600);
  const lock = new RecordLock();
  for (let index = 0; index < count; index++) {
    lock.fill(F_WRLCK, BigInt(index), BigInt(index));
    if (lock.set(fd) === 0) return { uid: first + index, release: () => closeSync(fd) };
    const errno = lastErrno();
    if (errno === Errno.EAGAIN || errno === Errno.EACCES) continue;
    closeSync(fd);
    throw SysError.fromErrno(errno, "fcntl F_OFD_SETLK", lockFile);
  }
  closeSync(fd);
  throw new QemuError(
    `each of the ${count} user ids from ${first} on has a sandbox; needed: more at hypervisor.userIdCount`,
  );
}

/**
 * Makes a command run as `uid`, with a group of the same number, without capabilities and without a way to gain any; for KVM with the group
 * that owns /dev/kvm. setpriv(1) is part of util-linux.
 *
 * @returns words to put before a command
 */
export function asUser(uid: number, accelerator: Accelerator): string[] {
  const groups = accelerator === "kvm" ? [`--groups=${statSync("/dev/kvm").gid}`] : ["--clear-groups"];
  return [
    "setpriv",
    ...[`--reuid=${uid}`, `--regid=${uid}`, ...groups],
    ...["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"],
  ];
}
