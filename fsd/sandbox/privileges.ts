import {
  type CapabilityName,
  capabilityMask,
  detachCapabilitiesFromUser,
  isCapabilityName,
  permittedCapabilities,
  reduceCapabilities,
} from "../../lib/sys/capabilities.js";
import { Errno, SysError } from "../../lib/sys/errno.js";
import { bindLazily, check, lastErrno } from "../../lib/sys/libc.js";
import { architectureOfHost, syscallNumber } from "../../lib/sys/syscall-number.js";
import type { CapabilityChange } from "../options/parse.js";
import { SandboxError } from "./error.js";

const setgroups = bindLazily<(count: number, groups: number) => number>(
  "int setgroups(size_t count, uintptr_t groups)",
);
const setresuid = bindLazily<(real: number, effective: number, saved: number) => number>(
  "int setresuid(uint32_t real, uint32_t effective, uint32_t saved)",
);
const setresuidOfThread = bindLazily<(nr: number, real: number, effective: number, saved: number) => number>(
  "int64_t syscall(int64_t nr, uint64_t real, uint64_t effective, uint64_t saved)",
);
const prctl = bindLazily<(option: number, a: number, b: number, c: number, d: number) => number>(
  "int prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d)",
);

const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
/** "nobody": owns no files, and is mapped wherever a range of user ids is. */
const NOBODY = 65_534;

/** What serving a guest's root user takes: its files belong to anybody, and it decides about their modes itself. */
const NEEDED: readonly CapabilityName[] = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "SETGID",
  "SETUID",
  "MKNOD",
  "SETFCAP",
];

/** One bit for each capability that stays. @throws SandboxError for a name that is not one */
export function keptCapabilities(changes: readonly CapabilityChange[]): bigint {
  const kept = new Set<CapabilityName>(NEEDED);
  for (const { capability, isKept } of changes) {
    if (!isCapabilityName(capability))
      throw new SandboxError(`--modcaps: there is no capability ${capability}`);
    if (isKept) kept.add(capability);
    else kept.delete(capability);
  }
  return capabilityMask(kept);
}

/**
 * Takes from all threads what they do not need. The calling thread, which serves the guest, keeps the capabilities of `kept`; Node's
 * other threads keep none.
 *
 * Capabilities belong to threads, and there is no call that changes those of another thread. But the C library keeps the user id the
 * same in all threads: its setresuid(2) makes each of them call the kernel. A thread that ceases to be root loses its capabilities,
 * except for the calling one, which has declared before that user ids are not to matter to it.
 *
 * @throws SysError
 */
export function dropPrivileges(kept: bigint): void {
  // No core dump, which would hold the guest's memory, and no debugger.
  check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl", "PR_SET_DUMPABLE");
  if (permittedCapabilities() !== 0n) {
    detachCapabilitiesFromUser();
    takeRootFromOtherThreads();
    reduceCapabilities(kept);
  }
  check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS");
}

function takeRootFromOtherThreads(): void {
  const uid = process.geteuid?.() ?? 0;
  const architecture = architectureOfHost();
  const nr = architecture === undefined ? undefined : syscallNumber("setresuid", architecture);
  if (nr === undefined) throw new SandboxError(`the number of setresuid on ${process.arch} is not known`);
  // The groups that the daemon was started in would be the guest's, too. EPERM: a user namespace in which groups cannot be changed.
  if (setgroups(0, 0) < 0 && lastErrno() !== Errno.EPERM) throw SysError.fromErrno(lastErrno(), "setgroups");
  if (setresuid(NOBODY, NOBODY, NOBODY) < 0) {
    // A user namespace with a single user has nobody else to be. What its threads may do, they may do in there only.
    if (lastErrno() === Errno.EINVAL) return;
    throw SysError.fromErrno(lastErrno(), "setresuid", String(NOBODY));
  }
  // The system call itself is about the calling thread alone.
  check(setresuidOfThread(nr, uid, uid, uid), "setresuid", String(uid));
}
