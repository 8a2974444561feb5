import { Errno } from "../../lib/sys/errno.js";
import { addressOf, bindLazily, lastErrno } from "../../lib/sys/libc.js";
import { MessageSocket } from "../../lib/sys/unix-socket.js";
import { EventQueue } from "./event-queue.js";

const send = bindLazily<(fd: number, bytes: number, length: number, flags: number) => number>(
  "int64_t send(int fd, uintptr_t bytes, size_t length, int flags)",
);
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** A connection on which somebody follows the host's events, a line of JSON for each. It never waits for the other side. */
export class EventStream {
  readonly queue = new EventQueue();
  #unsent: Buffer = Buffer.alloc(0);
  readonly #socket: MessageSocket;
  readonly #scratch = new Uint8Array(256);

  /** @param fd a connected stream socket, which belongs to the stream from now on */
  constructor(readonly fd: number) {
    this.#socket = new MessageSocket(fd);
  }

  /** Whether there is something that could not be sent yet. */
  get isBehind(): boolean {
    return this.#unsent.length > 0;
  }

  /** Sends what has come. @returns false when the other side is gone */
  flush(): boolean {
    if (this.#unsent.length === 0 && !this.queue.isEmpty) this.#unsent = Buffer.from(this.queue.take());
    while (this.#unsent.length > 0) {
      const sent = send(this.fd, addressOf(this.#unsent), this.#unsent.length, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0) return lastErrno() === Errno.EAGAIN || lastErrno() === Errno.EINTR;
      this.#unsent = this.#unsent.subarray(sent);
    }
    return true;
  }

  /** Looks whether the other side is still there; what it says means nothing. @throws SysError */
  isAlive(): boolean {
    return this.#socket.receive(this.#scratch, 0, this.#scratch.length, []) !== 0;
  }

  close(): void {
    this.#socket.close();
  }
}
