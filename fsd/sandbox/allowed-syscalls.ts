import { Errno } from "../../lib/sys/errno.js";
import type { SyscallRule } from "../../lib/sys/seccomp-filter.js";
import type { SyscallName } from "../../lib/sys/syscall-number.js";

/*
 * What the daemon calls once it serves a guest. The list was found by strace(1) of a daemon that serves a container, and completed by
 * what Node, V8 and the C library may call in rarer moments. Some system calls are not on it on purpose: what makes or runs programs
 * (execve, fork), what reaches other processes (ptrace, kill, process_vm_*, pidfd_*), what makes sockets, what changes
 * namespaces, mounts or roots, and the kernel's larger interfaces (io_uring, bpf, perf, keys, userfaultfd).
 */

/** Files and directories: all that the operations of FUSE come to. */
const FILES: readonly SyscallName[] = [
  ...(["read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev"] as const),
  ...(["preadv2", "pwritev2", "close", "lseek", "openat", "openat2", "dup", "dup3"] as const),
  ...(["statx", "newfstatat", "fstat", "statfs", "fstatfs", "getdents64", "readlinkat", "readlink"] as const),
  ...(["faccessat", "faccessat2", "name_to_handle_at", "open_by_handle_at"] as const),
  ...([
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "syncfs",
    "sync_file_range",
    "copy_file_range",
  ] as const),
  ...(["mkdirat", "mknodat", "symlinkat", "linkat", "unlinkat", "renameat", "renameat2"] as const),
  ...(["fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "utimensat", "umask", "fchdir"] as const),
  ...(["setxattr", "getxattr", "listxattr", "removexattr"] as const),
  ...(["fsetxattr", "fgetxattr", "flistxattr", "fremovexattr"] as const),
  ...(["setxattrat", "getxattrat", "listxattrat", "removexattrat"] as const),
  "flock",
];

/** Changes on the host that the guest is told of. */
const HOST_EVENTS: readonly SyscallName[] = ["inotify_init1", "inotify_add_watch", "inotify_rm_watch"];

/** Who a file belongs to, and whether its set-user-ID bit stays: for the calling thread alone. */
const CALLER: readonly SyscallName[] = ["setfsuid", "setfsgid", "setgroups", "capget", "capset"];

/** Sockets that exist already: vhost-user, metrics, the channel to QEMU. */
const SOCKETS: readonly SyscallName[] = [
  ...(["accept4", "sendmsg", "recvmsg", "shutdown", "getsockopt", "getsockname"] as const),
];

/** Waiting, of the daemon and of Node's own event loop, which runs when the process ends. */
const WAITING: readonly SyscallName[] = [
  ...(["poll", "ppoll", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2"] as const),
  ...(["nanosleep", "clock_nanosleep", "restart_syscall"] as const),
];

/** Memory: V8's heap, the guest's memory, state. */
const MEMORY: readonly SyscallName[] = [
  ...([
    "munmap",
    "mprotect",
    "pkey_mprotect",
    "mremap",
    "madvise",
    "brk",
    "mincore",
    "memfd_create",
  ] as const),
];

/** Threads of V8 and libuv, and the end of the process. */
const THREADS: readonly SyscallName[] = [
  ...(["futex", "sched_yield", "sched_getaffinity", "set_robust_list", "rseq", "membarrier"] as const),
  ...(["gettid", "getpid", "exit", "exit_group", "getcpu"] as const),
  // pthread_getschedparam(3): V8 of Node.js 24 asks for a thread's priority when it has to wait for a lock.
  ...(["sched_getparam", "sched_getscheduler"] as const),
  ...(["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack"] as const),
];

/** Harmless questions. */
const QUESTIONS: readonly SyscallName[] = [
  ...(["clock_gettime", "clock_getres", "gettimeofday", "time", "times", "getrandom", "uname"] as const),
  ...(["sysinfo", "getrusage", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid"] as const),
  ...(["getgroups", "getppid"] as const),
];

const ARGUMENT = { first: 0, second: 1, third: 2, fourth: 3, fifth: 4 } as const;

/** ioctl(2) on files: linux/fs.h. */
const FILE_IOCTLS = [
  0x8008_6601, // FS_IOC_GETFLAGS
  0x4008_6602, // FS_IOC_SETFLAGS
  0x8008_7601, // FS_IOC_GETVERSION
  0x801c_581f, // FS_IOC_FSGETXATTR
  0x401c_5820, // FS_IOC_FSSETXATTR
];
/** What libuv and the C library do to descriptors of their own. */
const DESCRIPTOR_IOCTLS = [
  0x5450, // FIONCLEX
  0x5451, // FIOCLEX
  0x5421, // FIONBIO
  0x541b, // FIONREAD
];
/** "Is it a terminal?", of stderr. */
const TERMINAL_IOCTLS = [
  0x5401, // TCGETS
  0x5413, // TIOCGWINSZ
];

/** fcntl(2). Those that send signals to others or ask for leases are not here. */
const FCNTLS = [
  ...[0, 1030], // F_DUPFD, F_DUPFD_CLOEXEC
  ...[1, 2, 3, 4], // F_GETFD, F_SETFD, F_GETFL, F_SETFL
  ...[5, 6, 7], // F_GETLK, F_SETLK, F_SETLKW
  ...[36, 37, 38], // F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW
  ...[10, 11], // F_SETSIG, F_GETSIG: the mark of files that may be mapped
  ...[1033, 1034], // F_ADD_SEALS, F_GET_SEALS
];

const PRCTLS = [
  3, // PR_GET_DUMPABLE
  15, // PR_SET_NAME
  16, // PR_GET_NAME
  27, // PR_GET_SECUREBITS
  0x5356_4d41, // PR_SET_VMA: names of V8's mappings
];

const PROT_EXEC = 4;
const MAP_ANONYMOUS = 0x20;
const CLONE_THREAD = 0x0001_0000;
/** CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const CLONE_NAMESPACES = 0x7e02_0080;

/** @param pid of the daemon, as it sees itself */
export function allowedSyscalls(pid: number): SyscallRule[] {
  const whole = [FILES, HOST_EVENTS, CALLER, SOCKETS, WAITING, MEMORY, THREADS, QUESTIONS].flat();
  return [
    ...whole.map((syscall) => ({ syscall })),
    {
      syscall: "ioctl",
      where: [{ argument: ARGUMENT.second, oneOf: [...FILE_IOCTLS, ...DESCRIPTOR_IOCTLS] }],
    },
    {
      syscall: "ioctl",
      where: [{ argument: ARGUMENT.second, oneOf: TERMINAL_IOCTLS }],
      errno: Errno.ENOTTY,
    },
    { syscall: "fcntl", where: [{ argument: ARGUMENT.second, oneOf: FCNTLS }] },
    { syscall: "prctl", where: [{ argument: ARGUMENT.first, oneOf: PRCTLS }] },
    // On a connected socket only: syslog.
    { syscall: "sendto", where: [{ argument: ARGUMENT.fifth, isNull: true }] },
    // V8 compiles to anonymous memory. Code from a file would be code that the guest can write.
    { syscall: "mmap", where: [{ argument: ARGUMENT.third, mask: PROT_EXEC, oneOf: [0] }] },
    { syscall: "mmap", where: [{ argument: ARGUMENT.fourth, mask: MAP_ANONYMOUS, oneOf: [MAP_ANONYMOUS] }] },
    // Limits are asked for, not set.
    { syscall: "prlimit64", where: [{ argument: ARGUMENT.third, isNull: true }] },
    // A signal to itself: abort(3).
    { syscall: "tgkill", where: [{ argument: ARGUMENT.first, oneOf: [pid] }] },
    {
      syscall: "clone",
      where: [{ argument: ARGUMENT.first, mask: CLONE_THREAD | CLONE_NAMESPACES, oneOf: [CLONE_THREAD] }],
    },
    // Its flags lie in memory, where a filter does not see them. The C library then takes clone.
    { syscall: "clone3", errno: Errno.ENOSYS },
  ];
}
