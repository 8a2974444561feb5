import { closeSync, constants, openSync } from "node:fs";
import { bindLazily, check } from "../../lib/sys/libc.js";
import { ioctl } from "./ioctl.js";

const ioctlWithFlags = bindLazily<(fd: number, request: number, flags: number) => number>(
  "int ioctl(int fd, uint64_t request, uint64_t flags)",
);

const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;
const O_CLOEXEC = 0o2000000;

/** Both descriptors are close-on-exec. */
export interface PseudoTerminal {
  readonly master: number;
  /** The side for a program. */
  readonly slave: number;
}

/** A new pseudo-terminal, pts(4). @throws SysError */
export function openPseudoTerminal(): PseudoTerminal {
  const master = openSync("/dev/ptmx", constants.O_RDWR | constants.O_NOCTTY);
  try {
    ioctl(master, TIOCSPTLCK, "TIOCSPTLCK", new Int32Array([0]));
    const flags = constants.O_RDWR | constants.O_NOCTTY | O_CLOEXEC;
    const slave = check(ioctlWithFlags(master, TIOCGPTPEER, flags), "ioctl TIOCGPTPEER");
    return { master, slave };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}
