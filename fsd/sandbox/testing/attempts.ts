import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { Errno, SysError } from "../../../lib/sys/errno.js";
import { close, mknodat, O_PATH, openat, S_IFCHR } from "../../../lib/sys/file.js";
import { addressOf, bindLazily, check } from "../../../lib/sys/libc.js";
import { MS_BIND, MS_REMOUNT, mount, unmount } from "../../../lib/sys/mount.js";
import { architectureOfHost, type SyscallName, syscallNumber } from "../../../lib/sys/syscall-number.js";

/** What is outside, as the test knows it. */
export interface Outside {
  /** A file of the host that the daemon has no business with, of the same file system as the shared directory. */
  readonly secret: string;
  /** struct file_handle of {@link secret}, in base64. */
  readonly secretHandle: string;
  /** A process of the host. */
  readonly pid: number;
  readonly tcpPort: number;
  readonly abstractSocket: string;
  readonly unixSocket: string;
  /** Key of a System V message queue. */
  readonly messageQueueKey: number;
  /** Descriptors that the daemon was started with: the host's root directory, and its mount namespace. */
  readonly rootFd: number;
  readonly namespaceFd: number;
}

/** Where the shared directories are: one that can be written, one that is read-only. */
export interface Shared {
  readonly writable: string;
  readonly readOnly: string;
}

type Attempt = (outside: Outside, shared: Shared) => void;

const AT_FDCWD = -100;
const CLONE_NEWNS = 0x2_0000;
const AF_UNIX = 1;
const AF_INET = 2;
const SOCK_STREAM = 1;
/** Character device 1:5, /dev/zero. */
const ZERO_DEVICE = 0x105;
const PTRACE_SEIZE = 0x4206;

const syscall = bindLazily<
  (nr: number, a: number, b: number, c: number, d: number, e: number, f: number) => number
>("int64_t syscall(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f)");

/** Calls the kernel directly. @throws SysError */
export function call(name: SyscallName | number, ...args: number[]): number {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args;
  return check(syscall(typeof name === "number" ? name : numberOf(name), a, b, c, d, e, f), String(name));
}

function numberOf(name: SyscallName): number {
  const architecture = architectureOfHost();
  const nr = architecture === undefined ? undefined : syscallNumber(name, architecture);
  if (nr === undefined) throw new Error(`${name} does not exist on ${process.arch}`);
  return nr;
}

const pinned: Uint8Array[] = [];
function bytes(content: string | Uint8Array): number {
  const buffer = typeof content === "string" ? Buffer.from(`${content}\0`) : Uint8Array.from(content);
  pinned.push(buffer);
  return addressOf(buffer);
}

function readAt(directory: number, path: string): void {
  readOpened(check(openat(directory, bytes(path), 0, 0), "openat", path));
}

function readOpened(fd: number): void {
  try {
    readSync(fd, Buffer.alloc(1));
  } finally {
    close(fd);
  }
}

/** A path up from anywhere. */
const UP = "../".repeat(20);

/** Ways out, in an order in which one that leads out leaves the next ones theirs. Each throws what was in its way. */
export const ATTEMPTS: Readonly<Record<string, Attempt>> = {
  "read a file of the host by its path": ({ secret }) => readFileSync(secret),
  "read it by .. from a shared directory": ({ secret }, { writable }) => {
    const fd = openSync(writable, O_PATH);
    try {
      readAt(fd, `${UP}${secret}`);
    } finally {
      closeSync(fd);
    }
  },
  "read it by .. from the directory of descriptors": ({ secret }) =>
    readFileSync(`/proc/self/fd/${UP}${secret}`),
  "read it by a directory that was open before": ({ secret, rootFd }) => readAt(rootFd, secret.slice(1)),
  "read it by a process's root": ({ secret, pid }) => readFileSync(`/proc/${pid}/root${secret}`),
  "read it by a file handle": ({ secretHandle }, { writable }) => {
    const mountFd = openSync(writable, 0);
    try {
      readOpened(call("open_by_handle_at", mountFd, bytes(Buffer.from(secretHandle, "base64")), 0));
    } finally {
      closeSync(mountFd);
    }
  },
  "change the root": () => call("chroot", bytes("/")),
  "mount a file system": (_, { writable }) => {
    mount("tmpfs", writable, "tmpfs", 0);
    unmount(writable);
  },
  "make a read-only mount writable": (_, { readOnly }) => mount("", readOnly, "", MS_BIND | MS_REMOUNT),
  "write to a read-only directory": (_, { readOnly }) => writeFileSync(`${readOnly}/new`, ""),
  "write beside the shared directories": () => {
    mkdirSync("/kata-fsd-break-out");
    rmSync("/kata-fsd-break-out", { recursive: true });
  },
  "make a mount namespace": () => call("unshare", CLONE_NEWNS),
  "enter another mount namespace": ({ namespaceFd }) => call("setns", namespaceFd, CLONE_NEWNS),
  "make a device and open it": (_, { writable }) => {
    const path = `${writable}/device`;
    check(mknodat(AT_FDCWD, bytes(path), S_IFCHR | 0o600, ZERO_DEVICE), "mknodat");
    try {
      readOpened(openSync(path, 0));
    } finally {
      rmSync(path);
    }
  },
  "see a process of the host": ({ pid }) => statSync(`/proc/${pid}`),
  "signal a process of the host": ({ pid }) => call("kill", pid, 0),
  "trace a process of the host": ({ pid }) => call("ptrace", PTRACE_SEIZE, pid),
  "read a process's memory": ({ pid }) => {
    const iovec = new BigUint64Array([BigInt(bytes("12345678")), 1n]);
    // Its own iovec names an address that no process has: EFAULT would mean that it was let in.
    const remote = new BigUint64Array([1n, 1n]);
    try {
      call("process_vm_readv", pid, addressOf(iovec), 1, addressOf(remote), 1);
    } catch (error) {
      if (!(error instanceof SysError) || error.errno !== Errno.EFAULT) throw error;
    }
  },
  "connect to the host's network": ({ tcpPort }) => {
    const address = Buffer.alloc(16);
    address.writeUInt16LE(AF_INET, 0);
    address.writeUInt16BE(tcpPort, 2);
    address.set([127, 0, 0, 1], 4);
    connectTo(AF_INET, address);
  },
  "connect to an abstract socket of the host": ({ abstractSocket }) => {
    connectTo(AF_UNIX, unixAddress(`\0${abstractSocket}`));
  },
  "connect to a socket of the host by its path": ({ unixSocket }) => {
    connectTo(AF_UNIX, unixAddress(`${unixSocket}\0`));
  },
  "open a message queue of the host": ({ messageQueueKey }) => {
    const msgget = bindLazily<(key: number, flags: number) => number>("int msgget(int key, int flags)");
    check(msgget(messageQueueKey, 0), "msgget");
  },
  "run a program of the host": () => run("/bin/true"),
  "run a program that the guest has written": (_, { writable }) => run(`${writable}/program`),
  "take capabilities back": () => {
    const header = new Uint32Array([0x2008_0522, 0]);
    const data = new Uint32Array(6);
    call("capget", addressOf(header), addressOf(data));
    const [, permitted = 0] = data;
    // Those of the control, which are not all on every host.
    data[0] = data[1] = (permitted | (1 << 21)) >>> 0;
    call("capset", addressOf(header), addressOf(data));
  },
  "raise a limit": () => {
    // RLIMIT_CORE, from what it is to no limit.
    const unlimited = new BigUint64Array([0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn]);
    call("prlimit64", 0, 4, addressOf(unlimited), 0);
  },
  "list the root": () => {
    const names = readdirSync("/").sort();
    if (names.join() === "proc,share") throw SysError.fromErrno(Errno.ENOENT, "readdir", "/");
  },
  "read what is above the root": ({ secret }, { writable }) => {
    // The classic way out of chroot(2): a root below the working directory.
    mkdirSync(`${writable}/below`, { recursive: true });
    call("chroot", bytes(`${writable}/below`));
    readFileSync(`${UP}${secret}`);
  },
};

function run(file: string): void {
  const { error } = spawnSync(file);
  if (error !== undefined) throw error;
}

function connectTo(family: number, address: Uint8Array): void {
  const fd = call("socket", family, SOCK_STREAM, 0);
  try {
    call("connect", fd, addressOf(address), address.length);
  } finally {
    close(fd);
  }
}

function unixAddress(path: string): Buffer {
  return Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(path)]);
}

/** Tries all ways. @returns for each the name of the errno that was in the way, or "out" */
export function tryAll(outside: Outside, shared: Shared): Record<string, string> {
  const outcome = ([name, attempt]: [string, Attempt]): [string, string] => {
    try {
      attempt(outside, shared);
      return [name, "out"];
    } catch (error) {
      return [name, codeOf(error)];
    }
  };
  return Object.fromEntries(Object.entries(ATTEMPTS).map(outcome));
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
