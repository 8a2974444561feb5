import { closeSync, rmSync } from "node:fs";
import { addressOf, bind, check } from "../../lib/sys/libc.js";

const socket = bind<(domain: number, type: number, protocol: number) => number>(
  "int socket(int domain, int type, int protocol)",
);
const bindSocket = bind<(fd: number, address: number, length: number) => number>(
  "int bind(int fd, uintptr_t address, uint32_t length)",
);
const listen = bind<(fd: number, backlog: number) => number>("int listen(int fd, int backlog)");
const accept4 = bind<(fd: number, address: number, length: number, flags: number) => number>(
  "int accept4(int fd, uintptr_t address, uintptr_t length, int flags)",
);
const recvmsg = bind<(fd: number, message: number, flags: number) => number>(
  "int64_t recvmsg(int fd, uintptr_t message, int flags)",
);

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;

/** `sun_path` of struct sockaddr_un, including its NUL. */
const SUN_PATH_BYTES = 108;
/** struct cmsghdr on 64-bit machines, and room for one descriptor behind it. */
const CMSG_HEADER_BYTES = 16;
const CMSG_SPACE_BYTES = 24;

/**
 * The receiving end of the console socket protocol: the OCI runtime connects and sends one message with the descriptor of
 * the terminal's master side.
 */
export class ConsoleSocket {
  readonly #fd: number;

  /** Listens at `path`. Throws a SysError. */
  constructor(readonly path: string) {
    if (Buffer.byteLength(path) >= SUN_PATH_BYTES) throw new RangeError(`${path}: too long for a socket`);
    this.#fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
    try {
      const address = Buffer.alloc(2 + SUN_PATH_BYTES);
      address.writeUInt16LE(AF_UNIX);
      address.write(path, 2);
      check(bindSocket(this.#fd, addressOf(address), address.length), "bind", path);
      check(listen(this.#fd, 1), "listen", path);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * The descriptor that was sent. To be called when the runtime has succeeded: then the message is there, though its sender has
   * gone. Throws a SysError, EAGAIN when nothing came.
   */
  takeDescriptor(): number {
    const connection = check(accept4(this.#fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK), "accept4", this.path);
    try {
      return receiveDescriptor(connection);
    } finally {
      closeSync(connection);
    }
  }

  close(): void {
    closeSync(this.#fd);
    rmSync(this.path, { force: true });
  }
}

function receiveDescriptor(connection: number): number {
  const payload = Buffer.alloc(256);
  const control = Buffer.alloc(CMSG_SPACE_BYTES);
  const iovec = new BigUint64Array([BigInt(addressOf(payload)), BigInt(payload.length)]);
  // struct msghdr: name, its length, iovecs, their count, control, its length, flags; 8 bytes each.
  const message = new BigUint64Array([0n, 0n, BigInt(addressOf(iovec)), 1n, 0n, 0n, 0n]);
  message[4] = BigInt(addressOf(control));
  message[5] = BigInt(control.length);
  check(recvmsg(connection, addressOf(message), MSG_CMSG_CLOEXEC), "recvmsg");
  const isDescriptor = control.readInt32LE(8) === SOL_SOCKET && control.readInt32LE(12) === SCM_RIGHTS;
  if (!isDescriptor) throw new Error("the OCI runtime sent no terminal");
  return control.readInt32LE(CMSG_HEADER_BYTES);
}
