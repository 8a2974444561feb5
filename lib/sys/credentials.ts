import { SysError } from "./errno.js";
import { addressOf, bind, check, lastErrno } from "./libc.js";
import { architectureOfHost, syscallNumber } from "./syscall-number.js";

/**
 * Credentials of the calling thread alone, for a daemon that acts for others. The raw system calls work per thread, unlike
 * setuid(2) of the C library.
 */
const setfsuid = bind<(uid: number) => number>("int setfsuid(uint32_t uid)");
const setfsgid = bind<(gid: number) => number>("int setfsgid(uint32_t gid)");
const prctl = bind<(option: number, a: number, b: number, c: number, d: number) => number>(
  "int prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d)",
);
const capget = bind<(header: number, data: number) => number>("int capget(uintptr_t header, uintptr_t data)");
const capset = bind<(header: number, data: number) => number>("int capset(uintptr_t header, uintptr_t data)");

/** setgroups(2) of the C library would change the groups of all threads. */
const syscallSetgroups = bind<(number: number, count: number, groups: number) => number>(
  "long syscall(long number, size_t count, uintptr_t groups)",
);

const PR_GET_SECUREBITS = 27;
const PR_SET_SECUREBITS = 28;
const SECBIT_NO_SETUID_FIXUP = 1 << 2;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const CAP_FSETID = 4;

/** Switches what the kernel sees as the owner of new files, and whether writes keep set-user-ID bits. */
export class ThreadCredentials {
  #uid = 0;
  #gid = 0;
  readonly #header = new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]);
  // Two struct __user_cap_data_struct: effective, permitted, inheritable of capabilities 0..31, then of 32..63.
  readonly #data = new DataView(new ArrayBuffer(24));
  readonly #headerAddress = addressOf(this.#header);
  readonly #dataAddress = addressOf(this.#data);
  #keepsSetId: boolean;
  #hasGroup = false;
  readonly #group = new Uint32Array(1);
  readonly #groupAddress = addressOf(this.#group);
  /** -1 where it is not known. */
  readonly #setgroupsNumber = setgroupsNumber();

  /**
   * @param canSwitch false for a daemon that is not root: then files belong to the daemon's user.
   */
  private constructor(private readonly canSwitch: boolean) {
    check(capget(this.#headerAddress, this.#dataAddress), "capget");
    this.#keepsSetId = (this.#data.getUint32(0, true) & (1 << CAP_FSETID)) !== 0;
  }

  /**
   * Keeps the capabilities of the thread across {@link actAs}: permissions were checked by the guest's kernel, which knows
   * the caller's supplementary groups; a second check here, without them, would refuse what is allowed.
   */
  static ofThisThread(): ThreadCredentials {
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) {
      const bits = check(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0), "prctl PR_GET_SECUREBITS");
      // In a sandbox it is set, and cannot be any more.
      if ((bits & SECBIT_NO_SETUID_FIXUP) === 0) {
        const result = prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
        check(result, "prctl PR_SET_SECUREBITS");
      }
    }
    return new ThreadCredentials(isRoot);
  }

  /** New files belong to `uid` and `gid` from here on. */
  actAs(uid: number, gid: number): void {
    if (!this.canSwitch) return;
    if (gid !== this.#gid) {
      setfsgid(gid);
      this.#gid = gid;
    }
    if (uid !== this.#uid) {
      setfsuid(uid);
      this.#uid = uid;
    }
  }

  /**
   * Gives the thread one supplementary group until {@link actAsSelf}. The host's own permissions do not depend on it, since capabilities
   * are kept; a file server behind it may ask. Where a thread may not choose its groups it has none.
   */
  addGroup(gid: number): void {
    if (!this.canSwitch || this.#setgroupsNumber < 0) return;
    this.#group[0] = gid;
    this.#hasGroup = syscallSetgroups(this.#setgroupsNumber, 1, this.#groupAddress) === 0;
  }

  /** Ends {@link actAs} and {@link addGroup}. */
  actAsSelf(): void {
    if (this.#hasGroup) {
      syscallSetgroups(this.#setgroupsNumber, 0, 0);
      this.#hasGroup = false;
    }
    this.actAs(0, 0);
  }

  /**
   * Decides whether the kernel leaves set-user-ID and set-group-ID bits on files that this thread writes, truncates or
   * changes. Costs a system call only when the answer differs from last time.
   */
  keepSetIdBits(keep: boolean): void {
    if (keep === this.#keepsSetId || !this.canSwitch) return;
    const effective = this.#data.getUint32(0, true);
    const bit = 1 << CAP_FSETID;
    this.#data.setUint32(0, keep ? effective | bit : effective & ~bit, true);
    if (capset(this.#headerAddress, this.#dataAddress) < 0) throw SysError.fromErrno(lastErrno(), "capset");
    this.#keepsSetId = keep;
  }
}

function setgroupsNumber(): number {
  const architecture = architectureOfHost();
  return (architecture === undefined ? undefined : syscallNumber("setgroups", architecture)) ?? -1;
}
