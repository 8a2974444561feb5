import { readFileSync } from "node:fs";
import { Errno, SysError } from "./errno.js";
import { close, O_CLOEXEC } from "./file.js";
import { addressOf, bindLazily, check, lastErrno } from "./libc.js";
import { openPidfd, syscallNumberHere } from "./pidfd.js";

const clone = bindLazily<(fn: number, stack: number, flags: number, argument: number) => number>(
  "int clone(uintptr_t fn, uintptr_t stack, int flags, uintptr_t argument)",
);
const dlsym = bindLazily<(handle: number, symbol: string) => number>(
  "uintptr_t dlsym(uintptr_t handle, const char *symbol)",
);
const madvise = bindLazily<(address: number, length: number, advice: number) => number>(
  "int madvise(uintptr_t address, size_t length, int advice)",
);
const syscall = bindLazily<(nr: number, a: number, b: number, c: number) => number>(
  "int64_t syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c)",
);
const dup3 = bindLazily<(from: number, to: number, flags: number) => number>(
  "int dup3(int from, int to, int flags)",
);

const prctl = bindLazily<(option: number, name: number) => number>("int prctl(int option, uintptr_t name)");

const PR_SET_NAME = 15;
const PR_GET_NAME = 16;
/** What the process is called in lists: 15 bytes at most. */
const KEEPER_NAME = "kata-fsd-keeper";
const NAME_BYTES = 16;
const CLONE_FILES = 0x400;
const CLONE_PARENT = 0x8000;
const SIGCHLD = 17;
const MADV_DONTFORK = 10;
const MADV_DOFORK = 11;
/** The C library's own memory is smaller, and the one function that the keeper runs may look at it. V8's heap is not. */
const LARGE_BYTES = 1 << 20;
const STACK_BYTES = 64 << 10;
const STACK_ALIGNMENT = 16;

/**
 * Makes a process that has the same table of descriptors as this one, not a copy of it, and that sleeps in pause(2) for ever. When this
 * process dies, however that happens, everything that it had open stays open there, under the same numbers, and
 * {@link KeptDescriptors} takes it over. No descriptor need be handed to anybody in time, so that serving costs nothing more.
 *
 * It is a child of this process's parent, so that it outlives this process in that one's care. It runs no code of Node's, and what would be
 * copied for it as soon as this process writes to it is left out.
 *
 * @returns its process id
 * @throws SysError
 */
export function keepDescriptors(): number {
  const pause = dlsym(0, "pause");
  if (pause === 0) throw SysError.fromErrno(Errno.ENOSYS, "dlsym", "pause");
  const stack = new Uint8Array(STACK_BYTES);
  const top = Math.floor((addressOf(stack) + STACK_BYTES) / STACK_ALIGNMENT) * STACK_ALIGNMENT;
  const left = largePrivateMappings(addressOf(stack));
  const ownName = new Uint8Array(NAME_BYTES);
  prctl(PR_GET_NAME, addressOf(ownName));
  prctl(PR_SET_NAME, addressOf(Buffer.from(`${KEEPER_NAME}\0`)));
  for (const { start, byteLength } of left) madvise(start, byteLength, MADV_DONTFORK);
  try {
    return check(clone(pause, top, CLONE_FILES | CLONE_PARENT | SIGCHLD, 0), "clone", "CLONE_FILES");
  } finally {
    prctl(PR_SET_NAME, addressOf(ownName));
    for (const { start, byteLength } of left) madvise(start, byteLength, MADV_DOFORK);
  }
}

interface Range {
  readonly start: number;
  readonly byteLength: number;
}

/** Writable memory of this process's own, without what `except` lies in. */
function largePrivateMappings(except: number): Range[] {
  return [...readFileSync("/proc/self/maps", "latin1").matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw.p /gm)]
    .map(([, start = "", end = ""]) => ({
      start: Number.parseInt(start, 16),
      byteLength: Number.parseInt(end, 16) - Number.parseInt(start, 16),
    }))
    .filter(({ start, byteLength }) => {
      return byteLength >= LARGE_BYTES && (except < start || except >= start + byteLength);
    });
}

/** What a process made by {@link keepDescriptors} keeps. Who asks must be allowed to trace that process. */
export class KeptDescriptors {
  private constructor(
    private readonly pidfd: number,
    private readonly nr: number,
  ) {}

  /** @throws SysError, ESRCH if there is no such process */
  static of(pid: number): KeptDescriptors {
    return new KeptDescriptors(openPidfd(pid), syscallNumberHere("pidfd_getfd"));
  }

  /**
   * Takes over the descriptor of that number, under that number; what was open there in this process is closed.
   * @returns false if the process that died had none
   * @throws SysError
   */
  take(fd: number): boolean {
    const own = syscall(this.nr, this.pidfd, fd, 0);
    if (own < 0) {
      const errno = lastErrno();
      if (errno === Errno.EBADF) return false;
      throw SysError.fromErrno(errno, "pidfd_getfd", String(fd));
    }
    if (own === fd) return true;
    check(dup3(own, fd, O_CLOEXEC), "dup3", String(fd));
    close(own);
    return true;
  }

  close(): void {
    close(this.pidfd);
  }
}
