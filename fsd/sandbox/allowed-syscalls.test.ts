import assert from "node:assert/strict";
import { test } from "node:test";
import { assembleBpf } from "../../lib/sys/bpf.js";
import { compileSeccompFilter, SeccompReturn } from "../../lib/sys/seccomp-filter.js";
import { type SyscallName, syscallNumber } from "../../lib/sys/syscall-number.js";
import { runBpf, seccompData } from "../../lib/sys/testing/bpf-machine.js";
import { allowedSyscalls } from "./allowed-syscalls.js";

const PID = 1;
const AUDIT_ARCH = { x64: 0xc000_003e, arm64: 0xc000_00b7 } as const;
const { allow, killProcess } = SeccompReturn;
const ENOSYS = SeccompReturn.errno | 38;

/** No argument makes these pass. */
const FORBIDDEN: readonly SyscallName[] = [
  ...([
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "kill",
    "tkill",
    "pidfd_open",
    "pidfd_getfd",
  ] as const),
  ...(["pidfd_send_signal", "process_vm_readv", "process_vm_writev", "perf_event_open"] as const),
  ...(["socket", "socketpair", "bind", "listen", "connect"] as const),
  ...(["mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "open_tree", "move_mount"] as const),
  ...(["mount_setattr", "fsopen", "setresuid", "setresgid", "seccomp", "personality"] as const),
  ...(["bpf", "io_uring_setup", "keyctl", "add_key", "userfaultfd"] as const),
];

for (const architecture of ["x64", "arm64"] as const) {
  const program = assembleBpf(compileSeccompFilter(allowedSyscalls(PID), architecture, killProcess));
  const verdict = (name: SyscallName, ...args: number[]) => {
    const nr = syscallNumber(name, architecture);
    if (nr === undefined) return killProcess;
    return runBpf(
      program,
      seccompData(
        nr,
        AUDIT_ARCH[architecture],
        args.map((argument) => BigInt(argument)),
      ),
    );
  };

  test(`${architecture}: what reaches beyond the daemon's files is not allowed`, () => {
    for (const name of FORBIDDEN) assert.equal(verdict(name), killProcess, name);
  });

  test(`${architecture}: threads may be made, processes and namespaces not`, () => {
    // As glibc makes a thread: CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | SETTLS | PARENT_SETTID | CHILD_CLEARTID.
    assert.equal(verdict("clone", 0x3d_0f00), allow);
    assert.equal(verdict("clone", 17), killProcess, "fork(): SIGCHLD");
    assert.equal(verdict("clone", 0x4111), killProcess, "vfork()");
    assert.equal(verdict("clone", 0x3d_0f00 | 0x1000_0000), killProcess, "CLONE_NEWUSER");
    assert.equal(verdict("clone3"), ENOSYS);
  });

  test(`${architecture}: code runs from anonymous memory only`, () => {
    const [readWrite, readExecute, anonymous, file] = [3, 5, 0x22, 0x02];
    assert.equal(verdict("mmap", 0, 4096, readWrite, file, 9), allow);
    assert.equal(verdict("mmap", 0, 4096, readExecute, anonymous, -1), allow);
    assert.equal(verdict("mmap", 0, 4096, readExecute, file, 9), killProcess);
  });

  test(`${architecture}: files' flags are read and set, nothing else is done by ioctl`, () => {
    assert.equal(verdict("ioctl", 3, 0x8008_6601), allow, "FS_IOC_GETFLAGS");
    assert.equal(verdict("ioctl", 3, 0x5401), SeccompReturn.errno | 25, "TCGETS");
    assert.equal(verdict("ioctl", 3, 0x5412), killProcess, "TIOCSTI");
    assert.equal(verdict("ioctl", 3, 0xc008_5512), killProcess);
  });

  test(`${architecture}: limits are read, not set; signals go to itself`, () => {
    assert.equal(verdict("prlimit64", 0, 7, 0, 4096), allow);
    assert.equal(verdict("prlimit64", 0, 7, 4096, 0), killProcess);
    assert.equal(verdict("tgkill", PID, 5, 6), allow);
    assert.equal(verdict("tgkill", PID + 1, 5, 6), killProcess);
    assert.equal(verdict("fcntl", 3, 8, PID + 1), killProcess, "F_SETOWN");
    assert.equal(verdict("prctl", 22, 1), killProcess, "PR_SET_SECCOMP");
    assert.equal(verdict("sendto", 3, 4096, 1, 0, 4096), killProcess, "to an address");
    assert.equal(verdict("sendto", 3, 4096, 1, 0, 0), allow);
  });
}
