import { Errno, SysError } from "../../sys/errno.js";
import { bind, check, permanentAddressOf } from "../../sys/libc.js";
import { type Mapping, mapShared, viewOf } from "../../sys/mapping.js";
import { createMemfd } from "../../sys/memfd.js";

const socketpair = bind<(domain: number, type: number, protocol: number, fds: number) => number>(
  "int socketpair(int domain, int type, int protocol, uintptr_t fds)",
);

const pair = new Int32Array(2);
const pairAddress = permanentAddressOf(pair);
const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;

/** Guest RAM for tests: a memfd, mapped, handed out from its start. */
export class TestMemory {
  readonly fd: number;
  readonly bytes: Buffer;
  readonly #mapping: Mapping;
  #used = 0;

  /** @throws SysError */
  constructor(readonly byteLength: number) {
    this.fd = createMemfd(byteLength);
    this.#mapping = mapShared(this.fd, 0, byteLength);
    this.bytes = Buffer.from(viewOf(this.#mapping, 0, byteLength));
  }

  /** @returns the offset of `byteLength` bytes that nobody else has */
  allocate(byteLength: number, alignment = 16): number {
    const offset = Math.ceil(this.#used / alignment) * alignment;
    if (offset + byteLength > this.byteLength) throw SysError.fromErrno(Errno.ENOMEM, "allocate");
    this.#used = offset + byteLength;
    return offset;
  }

  /** Frees all that was allocated since `mark` was {@link used}. */
  freeTo(mark: number): void {
    this.#used = mark;
  }

  get used(): number {
    return this.#used;
  }
}

/** Two connected UNIX stream sockets. @throws SysError */
export function createSocketPair(): [number, number] {
  check(socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, pairAddress), "socketpair");
  return [pair[0] ?? -1, pair[1] ?? -1];
}
