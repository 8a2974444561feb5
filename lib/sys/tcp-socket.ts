import { Errno, SysError } from "./errno.js";
import { close } from "./file.js";
import { addressOf, bindLazily, check, lastErrno } from "./libc.js";

const socket = bindLazily<(domain: number, type: number, protocol: number) => number>(
  "int socket(int domain, int type, int protocol)",
);
const bindTo = bindLazily<(fd: number, address: number, length: number) => number>(
  "int bind(int fd, uintptr_t address, uint32_t length)",
);
const listen = bindLazily<(fd: number, backlog: number) => number>("int listen(int fd, int backlog)");

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const BACKLOG = 128;
/** struct sockaddr_in and struct sockaddr_in6: the family first, and zeros for any port of any address. */
const SOCKADDR_BYTES = { [AF_INET]: 16, [AF_INET6]: 28 } as const;

/**
 * A TCP socket that listens at a free port of all addresses of the calling thread's network namespace, of both families where the kernel has
 * IPv6.
 *
 * @returns the descriptor, close-on-exec and non-blocking @throws SysError
 */
export function listenTcp(): number {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  let family: keyof typeof SOCKADDR_BYTES = AF_INET6;
  let fd = socket(family, type, 0);
  if (fd < 0 && lastErrno() === Errno.EAFNOSUPPORT) {
    family = AF_INET;
    fd = socket(family, type, 0);
  }
  check(fd, "socket", "TCP");
  const address = Buffer.alloc(SOCKADDR_BYTES[family]);
  address.writeUInt16LE(family);
  if (bindTo(fd, addressOf(address), address.length) < 0 || listen(fd, BACKLOG) < 0) {
    const error = SysError.fromErrno(lastErrno(), "listen", "TCP");
    close(fd);
    throw error;
  }
  return fd;
}
