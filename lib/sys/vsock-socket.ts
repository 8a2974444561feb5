import type { Duplex } from "node:stream";
import { Errno, SysError } from "./errno.js";
import { FdStream } from "./fd-stream.js";
import { close } from "./file.js";
import { addressOf, bindLazily, check, lastErrno } from "./libc.js";
import type { Poller } from "./poller.js";

const socket = bindLazily<(domain: number, type: number, protocol: number) => number>(
  "int socket(int domain, int type, int protocol)",
);
const bindTo = bindLazily<(fd: number, address: number, length: number) => number>(
  "int bind(int fd, uintptr_t address, uint32_t length)",
);
const listen = bindLazily<(fd: number, backlog: number) => number>("int listen(int fd, int backlog)");
const accept4 = bindLazily<(fd: number, address: number, length: number, flags: number) => number>(
  "int accept4(int fd, uintptr_t address, uintptr_t length, int flags)",
);

const AF_VSOCK = 40;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const BACKLOG = 128;
/** struct sockaddr_vm: u16 family, u16 reserved, u32 port, u32 context id, padding to the size of struct sockaddr. */
const SOCKADDR_VM_BYTES = 16;

/** Any context id (-1 as an unsigned number): the guest's own, whatever the host gave it. */
export const VMADDR_CID_ANY = 0xffff_ffff;

/**
 * Listens on a vsock port for as long as `poller` is open, which sees to the connections as well.
 * @throws SysError
 */
export function listenVsock(
  cid: number,
  port: number,
  poller: Poller,
  onConnection: (connection: Duplex) => void,
): void {
  const fd = check(socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket", "AF_VSOCK");
  const address = Buffer.alloc(SOCKADDR_VM_BYTES);
  address.writeUInt16LE(AF_VSOCK, 0);
  address.writeUInt32LE(port, 4);
  address.writeUInt32LE(cid, 8);
  if (bindTo(fd, addressOf(address), address.length) < 0 || listen(fd, BACKLOG) < 0) {
    const error = SysError.fromErrno(lastErrno(), "listen", `vsock port ${port}`);
    close(fd);
    throw error;
  }
  poller.watch(fd, () => {
    for (;;) {
      const connection = accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (connection >= 0) {
        onConnection(new FdStream(connection, poller));
        continue;
      }
      const errno = lastErrno();
      // A peer that has gone again, or descriptors that ran out: the next connection is another chance.
      if (errno === Errno.EINTR || errno === Errno.ECONNABORTED) continue;
      if (errno === Errno.EAGAIN || errno === Errno.EMFILE || errno === Errno.ENFILE) return;
      throw SysError.fromErrno(errno, "accept4", `vsock port ${port}`);
    }
  });
}
