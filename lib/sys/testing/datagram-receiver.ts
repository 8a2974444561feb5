import { close } from "../file.js";
import { addressOf, bindLazily, check } from "../libc.js";

const socket = bindLazily<(domain: number, type: number, protocol: number) => number>(
  "int socket(int domain, int type, int protocol)",
);
const bindTo = bindLazily<(fd: number, address: number, length: number) => number>(
  "int bind(int fd, uintptr_t address, uint32_t length)",
);
const recv = bindLazily<(fd: number, bytes: number, length: number, flags: number) => number>(
  "int64_t recv(int fd, uintptr_t bytes, uint64_t length, int flags)",
);

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

/** A socket for datagrams at a path, as the machine's log is one. */
export class DatagramReceiver {
  readonly #fd: number;
  readonly #bytes = Buffer.alloc(64 * 1024);

  constructor(path: string) {
    const address = Buffer.alloc(110);
    address.writeUInt16LE(AF_UNIX, 0);
    address.write(path, 2);
    this.#fd = check(socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
    check(bindTo(this.#fd, addressOf(address), address.length), "bind", path);
  }

  /** All that has come, in order. */
  received(): string[] {
    const all: string[] = [];
    for (;;) {
      const length = recv(this.#fd, addressOf(this.#bytes), this.#bytes.length, MSG_DONTWAIT);
      if (length < 0) return all;
      all.push(this.#bytes.toString("utf8", 0, length));
    }
  }

  close(): void {
    close(this.#fd);
  }
}
