import { Errno, SysError } from "./errno.js";
import { addressOf, bind, lastErrno } from "./libc.js";

const poll = bind<(fds: number, count: number, timeoutMs: number) => number>(
  "int poll(uintptr_t fds, uint64_t count, int timeoutMs)",
);

const POLLFD_BYTES = 8;
const POLLIN = 0x1;
const POLLOUT = 0x4;
const POLLERR = 0x8;
const POLLHUP = 0x10;

/** A preallocated array of `struct pollfd`. */
export class PollSet {
  readonly #view: DataView;
  readonly #address: number;
  #count = 0;

  constructor(private readonly capacity: number) {
    this.#view = new DataView(new ArrayBuffer(capacity * POLLFD_BYTES));
    this.#address = addressOf(this.#view);
  }

  get count(): number {
    return this.#count;
  }

  clear(): void {
    this.#count = 0;
  }

  /** Adds a descriptor to be watched for input, or for room. @returns its index */
  add(fd: number, forOutput = false): number {
    if (this.#count === this.capacity) throw new RangeError(`more than ${this.capacity} descriptors to poll`);
    const offset = this.#count * POLLFD_BYTES;
    this.#view.setInt32(offset, fd, true);
    this.#view.setInt16(offset + 4, forOutput ? POLLOUT : POLLIN, true);
    this.#view.setInt16(offset + 6, 0, true);
    return this.#count++;
  }

  /**
   * Waits until a descriptor is ready; at most `timeoutMs`, or for ever if it is negative.
   * @returns how many are ready; 0 after a signal, too
   * @throws SysError
   */
  wait(timeoutMs: number): number {
    const ready = poll(this.#address, this.#count, timeoutMs);
    if (ready >= 0) return ready;
    const errno = lastErrno();
    if (errno !== Errno.EINTR) throw SysError.fromErrno(errno, "poll");
    for (let index = 0; index < this.#count; index++) this.#view.setInt16(index * POLLFD_BYTES + 6, 0, true);
    return 0;
  }

  /** Whether the last {@link wait} found something to do at `index`: input, room, or that the other side is gone. */
  isReady(index: number): boolean {
    const events = this.#view.getInt16(index * POLLFD_BYTES + 6, true);
    return (events & (POLLIN | POLLOUT | POLLERR | POLLHUP)) !== 0;
  }
}
