import { closeSync } from "node:fs";
import { bindLazily, check } from "../../lib/sys/libc.js";
import { ioctl } from "../sys/ioctl.js";

const socket = bindLazily<(domain: number, type: number, protocol: number) => number>(
  "int socket(int domain, int type, int protocol)",
);

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;

/** `struct ifreq`: the name in 16 bytes, then a union of which we use the 16-bit flags. */
const IFREQ_BYTES = 40;
const IFREQ_FLAGS_OFFSET = 16;

/** Sets the loopback interface up; the kernel gives it 127.0.0.1 and ::1 by itself. Throws a SysError. */
export function bringLoopbackUp(): void {
  const fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  try {
    const ifreq = Buffer.alloc(IFREQ_BYTES);
    ifreq.write("lo", "latin1");
    ioctl(fd, SIOCGIFFLAGS, "SIOCGIFFLAGS", ifreq);
    ifreq.writeInt16LE(ifreq.readInt16LE(IFREQ_FLAGS_OFFSET) | IFF_UP, IFREQ_FLAGS_OFFSET);
    ioctl(fd, SIOCSIFFLAGS, "SIOCSIFFLAGS", ifreq);
  } finally {
    closeSync(fd);
  }
}
