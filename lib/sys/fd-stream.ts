import { Duplex } from "node:stream";
import { Errno, SysError } from "./errno.js";
import { close } from "./file.js";
import { addressOf, bindLazily, lastErrno } from "./libc.js";
import type { Poller, Watch } from "./poller.js";

const read = bindLazily<(fd: number, buffer: number, count: number) => number>(
  "int64_t read(int fd, uintptr_t buffer, size_t count)",
);
const write = bindLazily<(fd: number, buffer: number, count: number) => number>(
  "int64_t write(int fd, uintptr_t buffer, size_t count)",
);
const shutdown = bindLazily<(fd: number, how: number) => number>("int shutdown(int fd, int how)");

const SHUT_WR = 1;
const READ_BYTES = 64 * 1024;

/**
 * A stream over a non-blocking descriptor that Node has no good stream for: a connected socket of a family that it does not know, the
 * master side of a pseudo-terminal. It owns the descriptor.
 */
export class FdStream extends Duplex {
  readonly #watch: Watch;
  readonly #buffer = Buffer.alloc(READ_BYTES);
  #wantsInput = false;
  /** What could not be written yet, and whom to tell. */
  #unwritten: { bytes: Buffer; done: (error?: Error | null) => void } | undefined;
  #isOpen = true;

  constructor(
    private readonly fd: number,
    poller: Poller,
    readableHighWaterMark?: number,
  ) {
    super({ allowHalfOpen: true, ...(readableHighWaterMark !== undefined && { readableHighWaterMark }) });
    this.#watch = poller.watch(fd, ({ readable, writable, hungUp }) => {
      if (writable) this.#flush(hungUp);
      if (readable && this.#isOpen) this.#receive();
    });
    this.#watch.set(false, false);
  }

  override _read(): void {
    this.#wantsInput = true;
    this.#update();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#unwritten = { bytes: chunk, done };
    this.#flush();
  }

  override _final(done: (error?: Error | null) => void): void {
    // A peer that has gone already needs no end of stream.
    if (this.#isOpen) shutdown(this.fd, SHUT_WR);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#isOpen) {
      this.#isOpen = false;
      this.#watch.remove();
      close(this.fd);
    }
    done(error);
  }

  #receive(): void {
    if (!this.#wantsInput) {
      // An error or a hang-up while nobody reads: it stays and is found when somebody does.
      this.#update();
      return;
    }
    const count = read(this.fd, addressOf(this.#buffer), READ_BYTES);
    if (count > 0) {
      this.#wantsInput = this.push(Buffer.from(this.#buffer.subarray(0, count)));
      this.#update();
      return;
    }
    const errno = count < 0 ? lastErrno() : 0;
    if (errno === Errno.EAGAIN || errno === Errno.EINTR) return;
    this.#wantsInput = false;
    this.#update();
    // EIO is how a pseudo-terminal says that its other side has gone, after the last of the output.
    if (errno === 0 || errno === Errno.EIO) this.push(null);
    else this.destroy(SysError.fromErrno(errno, "read"));
  }

  #flush(hungUp = false): void {
    const unwritten = this.#unwritten;
    if (unwritten === undefined || !this.#isOpen) return;
    while (unwritten.bytes.length > 0) {
      const count = write(this.fd, addressOf(unwritten.bytes), unwritten.bytes.length);
      if (count >= 0) {
        unwritten.bytes = unwritten.bytes.subarray(count);
        continue;
      }
      const errno = lastErrno();
      if (errno === Errno.EINTR) continue;
      // A pseudo-terminal that is full says so even when nobody is left to make room.
      if (errno === Errno.EAGAIN && !hungUp) {
        this.#update();
        return;
      }
      this.#unwritten = undefined;
      unwritten.done(SysError.fromErrno(errno, "write"));
      return;
    }
    this.#unwritten = undefined;
    this.#update();
    unwritten.done();
  }

  #update(): void {
    this.#watch.set(this.#wantsInput, this.#unwritten !== undefined);
  }
}
