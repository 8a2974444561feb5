import { readdirSync } from "node:fs";
import { Errno } from "./errno.js";
import { fcntl } from "./file.js";
import { check, lastErrno } from "./libc.js";

const F_SETFD = 2;
const FD_CLOEXEC = 1;
const STDERR_FD = 2;

/**
 * Keeps what this process inherited, other than its standard descriptors, from the programs that it starts: whoever started it may
 * have left descriptors open that they must not have.
 *
 * @throws SysError
 */
export function keepDescriptorsFromChildren(): void {
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd <= STDERR_FD || fcntl(fd, F_SETFD, FD_CLOEXEC) === 0) continue;
    // Closed meanwhile: the one that the list was read by.
    if (lastErrno() !== Errno.EBADF) check(-1, "fcntl F_SETFD", `descriptor ${fd}`);
  }
}
