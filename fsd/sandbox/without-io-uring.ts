import { readdirSync, readlinkSync } from "node:fs";
import { Errno } from "../../lib/sys/errno.js";
import { fcntl } from "../../lib/sys/file.js";
import { bindLazily, check } from "../../lib/sys/libc.js";
import { installSeccompFilter } from "../../lib/sys/seccomp.js";
import { compileSeccompFilter, SeccompReturn } from "../../lib/sys/seccomp-filter.js";
import { architectureOfHost } from "../../lib/sys/syscall-number.js";

const prctl = bindLazily<(option: number, a: number, b: number, c: number, d: number) => number>(
  "int prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d)",
);
const execve = bindLazily<
  (file: string, argv: readonly (string | null)[], env: readonly (string | null)[]) => number
>("int execve(const char *file, const char **argv, const char **env)");

const PR_SET_NO_NEW_PRIVS = 38;
const F_SETFD = 2;
const STDERR_FD = 2;

/** Set for the program that follows, so that it is the last. */
const MARK = "KATA_FSD_WITHOUT_IO_URING";

/**
 * Starts this program anew, in this process, if its event loop has a ring of io_uring: libuv of Node.js 22 and newer makes one at birth and
 * enters it whenever it begins to watch something. A filter of system calls cannot see what goes through a ring, so the daemon
 * must not have one; the new program is refused it, and libuv then does without.
 *
 * @param kept descriptors that the new program inherits besides sockets and the standard ones
 * @throws SysError
 */
export function restartWithoutIoUring(kept: readonly number[]): void {
  const { [MARK]: mark, ...env } = process.env;
  const architecture = architectureOfHost();
  const descriptors = openDescriptors();
  const hasRing = descriptors.some(({ target }) => target === "anon_inode:[io_uring]");
  if (!hasRing || mark !== undefined || architecture === undefined) return;

  const refuse = { syscall: "io_uring_setup", errno: Errno.ENOSYS } as const;
  check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS");
  installSeccompFilter(compileSeccompFilter([refuse], architecture, SeccompReturn.allow), architecture);
  // Node.js has marked all that it inherited to end with it.
  for (const { fd, target } of descriptors) {
    if (fd > STDERR_FD && !target.startsWith("socket:") && !kept.includes(fd)) continue;
    check(fcntl(fd, F_SETFD, 0), "fcntl", `F_SETFD of descriptor ${fd}`);
  }
  const words = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const variables = Object.entries({ ...env, [MARK]: "1" }).map(([name, value]) => `${name}=${value}`);
  check(execve(process.execPath, [...words, null], [...variables, null]), "execve", process.execPath);
}

function openDescriptors(): { readonly fd: number; readonly target: string }[] {
  return readdirSync("/proc/self/fd").flatMap((name) => {
    try {
      return [{ fd: Number(name), target: readlinkSync(`/proc/self/fd/${name}`) }];
    } catch {
      // The one by which the directory was read is gone.
      return [];
    }
  });
}
