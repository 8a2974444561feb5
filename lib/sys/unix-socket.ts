import { chmodSync, chownSync, lstatSync, rmSync } from "node:fs";
import { Errno, SysError } from "./errno.js";
import { close, fcntl } from "./file.js";
import { Iovecs } from "./iovec.js";
import { addressOf, bind, bindLazily, check, lastErrno } from "./libc.js";

const socket = bind<(domain: number, type: number, protocol: number) => number>(
  "int socket(int domain, int type, int protocol)",
);
const socketpair = bindLazily<(domain: number, type: number, protocol: number, fds: number) => number>(
  "int socketpair(int domain, int type, int protocol, uintptr_t fds)",
);
const bindTo = bind<(fd: number, address: number, length: number) => number>(
  "int bind(int fd, uintptr_t address, uint32_t length)",
);
const connectTo = bind<(fd: number, address: number, length: number) => number>(
  "int connect(int fd, uintptr_t address, uint32_t length)",
);
const listen = bind<(fd: number, backlog: number) => number>("int listen(int fd, int backlog)");
const accept4 = bind<(fd: number, address: number, length: number, flags: number) => number>(
  "int accept4(int fd, uintptr_t address, uintptr_t length, int flags)",
);
const getsockopt = bindLazily<
  (fd: number, level: number, name: number, value: number, length: number) => number
>("int getsockopt(int fd, int level, int name, uintptr_t value, uintptr_t length)");
const send = bindLazily<(fd: number, bytes: number, length: number, flags: number) => number>(
  "int64_t send(int fd, uintptr_t bytes, uint64_t length, int flags)",
);
const sendmsg = bind<(fd: number, message: number, flags: number) => number>(
  "int64_t sendmsg(int fd, uintptr_t message, int flags)",
);
const recvmsg = bind<(fd: number, message: number, flags: number) => number>(
  "int64_t recvmsg(int fd, uintptr_t message, int flags)",
);

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_CTRUNC = 0x8;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const SO_DOMAIN = 39;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const SCM_RIGHTS = 1;

/** Longest path of a UNIX socket: `sun_path` less its NUL. */
export const SUN_PATH_MAX_BYTES = 107;

/** Most descriptors that one message of {@link MessageSocket} carries. */
export const MESSAGE_FDS_MAX = 16;

const CMSG_HEADER_BYTES = 16;
const CONTROL_BYTES = CMSG_HEADER_BYTES + 4 * MESSAGE_FDS_MAX;

/** struct msghdr: offsets on a 64-bit machine. */
const MSGHDR = { bytes: 56, iov: 16, iovlen: 24, control: 32, controllen: 40, flags: 48 } as const;

/**
 * Listens at `path`; a socket that is already there is replaced. It is for this user alone, and for the group `groupId` if that is given.
 * @throws SysError, EADDRINUSE where something else than a socket is; RangeError for a path that is too long
 */
export function listenUnix(path: string, groupId?: number): number {
  const address = sockaddr(path);
  const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  try {
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path, { force: true });
    check(bindTo(fd, addressOf(address), address.length), "bind", path);
    if (groupId !== undefined) chownSync(path, -1, groupId);
    chmodSync(path, groupId === undefined ? 0o600 : 0o660);
    check(listen(fd, 1), "listen", path);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/**
 * Takes over a listening socket that this process inherited.
 * @throws SysError; RangeError when the descriptor is something else
 */
export function adoptListeningUnix(fd: number): number {
  const option = (name: number): number => {
    const value = new Int32Array(1);
    const length = new Uint32Array([value.byteLength]);
    check(
      getsockopt(fd, SOL_SOCKET, name, addressOf(value), addressOf(length)),
      "getsockopt",
      `descriptor ${fd}`,
    );
    return value[0] ?? 0;
  };
  if (option(SO_DOMAIN) !== AF_UNIX || option(SO_TYPE) !== SOCK_STREAM || option(SO_ACCEPTCONN) === 0) {
    throw new RangeError(`descriptor ${fd} is not a UNIX stream socket that listens`);
  }
  check(fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl", `descriptor ${fd}`);
  return fd;
}

/** Takes the next connection, waiting for it. @throws SysError */
export function acceptUnix(listeningFd: number): number {
  return check(accept4(listeningFd, 0, 0, SOCK_CLOEXEC), "accept4");
}

/** @throws SysError; RangeError for a path that is too long */
export function connectUnix(path: string): number {
  return connectSocket(path, SOCK_STREAM);
}

/** A socket that sends datagrams to the one at `path`. @throws SysError; RangeError for a path that is too long */
export function connectUnixDatagram(path: string): number {
  return connectSocket(path, SOCK_DGRAM);
}

/** Sends a datagram without waiting. @returns whether there was room for it, and someone to receive it */
export function sendDatagram(fd: number, bytes: Uint8Array): boolean {
  return send(fd, addressOf(bytes), bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL) === bytes.length;
}

/** Two stream sockets that are connected to each other. @throws SysError */
export function connectedPair(): [number, number] {
  const fds = new Int32Array(2);
  check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, addressOf(fds)), "socketpair");
  const [first = -1, second = -1] = fds;
  return [first, second];
}

function connectSocket(path: string, type: number): number {
  const address = sockaddr(path);
  const fd = check(socket(AF_UNIX, type | SOCK_CLOEXEC, 0), "socket");
  if (connectTo(fd, addressOf(address), address.length) < 0) {
    const error = SysError.fromErrno(lastErrno(), "connect", path);
    close(fd);
    throw error;
  }
  return fd;
}

function sockaddr(path: string): Buffer {
  const lengthBytes = Buffer.byteLength(path);
  if (lengthBytes > SUN_PATH_MAX_BYTES) {
    throw new RangeError(
      `${path}: ${lengthBytes} bytes are too long for a socket, ${SUN_PATH_MAX_BYTES} is the most`,
    );
  }
  const address = Buffer.alloc(2 + SUN_PATH_MAX_BYTES + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  return address;
}

/** A connected UNIX stream socket whose messages may carry descriptors. It owns its descriptor. */
export class MessageSocket {
  readonly #header = new DataView(new ArrayBuffer(MSGHDR.bytes));
  readonly #headerAddress = addressOf(this.#header);
  readonly #control = new DataView(new ArrayBuffer(CONTROL_BYTES));
  readonly #controlAddress = addressOf(this.#control);
  readonly #iovecs = new Iovecs(1);
  #isOpen = true;

  constructor(readonly fd: number) {
    putAddress(this.#header, MSGHDR.iov, this.#iovecs.address);
    this.#header.setUint32(MSGHDR.iovlen, 1, true);
    putAddress(this.#header, MSGHDR.control, this.#controlAddress);
  }

  /**
   * Receives at most `length` bytes to `target` without waiting. Descriptors that come with them are appended to `fds`, close-on-exec,
   * and belong to the caller.
   * @returns the number of bytes; 0 at the end of the stream; -1 when there is nothing to read
   * @throws SysError; EMSGSIZE when there were more descriptors than fit, all closed then
   */
  receive(target: Uint8Array, offset: number, length: number, fds: number[]): number {
    if (offset + length > target.length) throw new RangeError("the target is too short");
    this.#iovecs.set(0, addressOf(target) + offset, length);
    this.#header.setUint32(MSGHDR.controllen, CONTROL_BYTES, true);
    for (;;) {
      const received = recvmsg(this.fd, this.#headerAddress, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (received < 0) {
        const errno = lastErrno();
        if (errno === Errno.EINTR) continue;
        if (errno === Errno.EAGAIN) return -1;
        if (errno === Errno.ECONNRESET) return 0;
        throw SysError.fromErrno(errno, "recvmsg");
      }
      this.#takeDescriptors(fds);
      return received;
    }
  }

  /** Sends all of `bytes`, waiting for room, with `fds`, which stay the caller's. @throws SysError EPIPE when nobody reads */
  send(bytes: Uint8Array, fds: readonly number[] = []): void {
    if (fds.length > MESSAGE_FDS_MAX) throw new RangeError(`${fds.length} descriptors in one message`);
    const base = addressOf(bytes);
    let controlBytes = 0;
    if (fds.length > 0) {
      controlBytes = CMSG_HEADER_BYTES + 8 * Math.ceil(fds.length / 2);
      this.#control.setUint32(0, CMSG_HEADER_BYTES + 4 * fds.length, true);
      this.#control.setUint32(4, 0, true);
      this.#control.setInt32(8, SOL_SOCKET, true);
      this.#control.setInt32(12, SCM_RIGHTS, true);
      for (const [index, fd] of fds.entries())
        this.#control.setInt32(CMSG_HEADER_BYTES + 4 * index, fd, true);
    }
    for (let sent = 0; sent < bytes.length; ) {
      this.#iovecs.set(0, base + sent, bytes.length - sent);
      putAddress(this.#header, MSGHDR.control, controlBytes === 0 ? 0 : this.#controlAddress);
      this.#header.setUint32(MSGHDR.controllen, controlBytes, true);
      const result = sendmsg(this.fd, this.#headerAddress, MSG_NOSIGNAL);
      putAddress(this.#header, MSGHDR.control, this.#controlAddress);
      if (result < 0) {
        const errno = lastErrno();
        if (errno === Errno.EINTR) continue;
        throw SysError.fromErrno(errno, "sendmsg");
      }
      sent += result;
      controlBytes = 0;
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    close(this.fd);
  }

  #takeDescriptors(fds: number[]): void {
    const first = fds.length;
    const controlBytes = this.#header.getUint32(MSGHDR.controllen, true);
    if (controlBytes >= CMSG_HEADER_BYTES) {
      const isRights =
        this.#control.getInt32(8, true) === SOL_SOCKET && this.#control.getInt32(12, true) === SCM_RIGHTS;
      const end = Math.min(this.#control.getUint32(0, true), controlBytes);
      for (let at = CMSG_HEADER_BYTES; isRights && at + 4 <= end; at += 4)
        fds.push(this.#control.getInt32(at, true));
    }
    if ((this.#header.getInt32(MSGHDR.flags, true) & MSG_CTRUNC) === 0) return;
    for (const fd of fds.splice(first)) close(fd);
    throw SysError.fromErrno(Errno.EMSGSIZE, "recvmsg", "descriptors");
  }
}

function putAddress(view: DataView, offset: number, address: number): void {
  view.setUint32(offset, address >>> 0, true);
  view.setUint32(offset + 4, address / 0x1_0000_0000, true);
}
