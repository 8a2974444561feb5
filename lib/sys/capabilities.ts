import { Errno, SysError } from "./errno.js";
import { bindLazily, check, lastErrno, permanentAddressOf } from "./libc.js";

const prctl = bindLazily<(option: number, a: number, b: number, c: number, d: number) => number>(
  "int prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d)",
);
const capget = bindLazily<(header: number, data: number) => number>(
  "int capget(uintptr_t header, uintptr_t data)",
);
const capset = bindLazily<(header: number, data: number) => number>(
  "int capset(uintptr_t header, uintptr_t data)",
);

/** Numbers of linux/capability.h, by name without CAP_. */
export const Capability = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  DAC_READ_SEARCH: 2,
  FOWNER: 3,
  FSETID: 4,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  SETPCAP: 8,
  LINUX_IMMUTABLE: 9,
  NET_BIND_SERVICE: 10,
  NET_BROADCAST: 11,
  NET_ADMIN: 12,
  NET_RAW: 13,
  IPC_LOCK: 14,
  IPC_OWNER: 15,
  SYS_MODULE: 16,
  SYS_RAWIO: 17,
  SYS_CHROOT: 18,
  SYS_PTRACE: 19,
  SYS_PACCT: 20,
  SYS_ADMIN: 21,
  SYS_BOOT: 22,
  SYS_NICE: 23,
  SYS_RESOURCE: 24,
  SYS_TIME: 25,
  SYS_TTY_CONFIG: 26,
  MKNOD: 27,
  LEASE: 28,
  AUDIT_WRITE: 29,
  AUDIT_CONTROL: 30,
  SETFCAP: 31,
  MAC_OVERRIDE: 32,
  MAC_ADMIN: 33,
  SYSLOG: 34,
  WAKE_ALARM: 35,
  BLOCK_SUSPEND: 36,
  AUDIT_READ: 37,
  PERFMON: 38,
  BPF: 39,
  CHECKPOINT_RESTORE: 40,
} as const;

export type CapabilityName = keyof typeof Capability;

export function isCapabilityName(name: string): name is CapabilityName {
  return Object.hasOwn(Capability, name);
}

/** One bit for each capability. */
export function capabilityMask(names: Iterable<CapabilityName>): bigint {
  let mask = 0n;
  for (const name of names) mask |= 1n << BigInt(Capability[name]);
  return mask;
}

const PR_CAPBSET_DROP = 24;
const PR_SET_SECUREBITS = 28;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const LINUX_CAPABILITY_VERSION_3 = 0x2008_0522;
const CAPABILITIES_MAX = 64;

const SECBIT_NOROOT = 1 << 0;
const SECBIT_NO_SETUID_FIXUP = 1 << 2;
const SECBIT_KEEP_CAPS = 1 << 4;
const SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6;
/** Each bit's lock is the next higher bit. */
const LOCKS = (SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS | SECBIT_NO_CAP_AMBIENT_RAISE) << 1;

const header = new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]);
const headerAddress = permanentAddressOf(header);
/** Two `struct __user_cap_data_struct`: effective, permitted, inheritable of capabilities 0..31, then of 32..63. */
const sets = new Uint32Array(6);
const setsAddress = permanentAddressOf(sets);

/** The capabilities that the calling thread may use. @throws SysError */
export function permittedCapabilities(): bigint {
  check(capget(headerAddress, setsAddress), "capget");
  return BigInt(sets[1] ?? 0) | (BigInt(sets[4] ?? 0) << 32n);
}

/**
 * Being user 0, or becoming another user, changes nothing about the calling thread's capabilities any more, which cannot be undone.
 *
 * @throws SysError EPERM without CAP_SETPCAP
 */
export function detachCapabilitiesFromUser(): void {
  const bits = SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_CAP_AMBIENT_RAISE | LOCKS;
  check(prctl(PR_SET_SECUREBITS, bits, 0, 0, 0), "prctl", "PR_SET_SECUREBITS");
}

/**
 * Reduces the calling thread's capabilities to those of `kept` that it has: permitted and effective; inheritable, ambient and bounding
 * set become empty.
 *
 * @throws SysError EPERM without CAP_SETPCAP
 */
export function reduceCapabilities(kept: bigint): void {
  const remaining = permittedCapabilities() & kept;
  check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl", "PR_CAP_AMBIENT");
  emptyBoundingSet();
  const low = Number(remaining & 0xffff_ffffn);
  const high = Number(remaining >> 32n);
  sets.set([low, low, 0, high, high, 0]);
  check(capset(headerAddress, setsAddress), "capset");
}

function emptyBoundingSet(): void {
  for (let capability = 0; capability < CAPABILITIES_MAX; capability++) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) >= 0) continue;
    const errno = lastErrno();
    // The kernel does not know so many.
    if (errno === Errno.EINVAL) return;
    throw SysError.fromErrno(errno, "prctl", "PR_CAPBSET_DROP");
  }
}
