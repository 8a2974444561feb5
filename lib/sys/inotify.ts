import { Errno, SysError } from "./errno.js";
import { close } from "./file.js";
import { addressOf, bindLazily, check, lastErrno } from "./libc.js";

const inotifyInit1 = bindLazily<(flags: number) => number>("int inotify_init1(int flags)");
const inotifyAddWatch = bindLazily<(fd: number, path: number, mask: number) => number>(
  "int inotify_add_watch(int fd, uintptr_t path, uint32_t mask)",
);
const inotifyRmWatch = bindLazily<(fd: number, wd: number) => number>("int inotify_rm_watch(int fd, int wd)");
const read = bindLazily<(fd: number, out: number, length: number) => number>(
  "int64_t read(int fd, uintptr_t out, size_t length)",
);

const IN_NONBLOCK = 0o4000;
const IN_CLOEXEC = 0o2000000;

export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_CLOSE_WRITE = 0x8;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
export const IN_UNMOUNT = 0x2000;
export const IN_Q_OVERFLOW = 0x4000;
export const IN_IGNORED = 0x8000;
export const IN_EXCL_UNLINK = 0x400_0000;
export const IN_ISDIR = 0x4000_0000;

/** struct inotify_event before its name. */
const EVENT_BYTES = 16;
/** Holds some hundred events; one with the longest name needs 272 bytes. */
const BUFFER_BYTES = 32 * 1024;

/** One event; the object is filled again for the next one. */
export interface InotifyEvent {
  /** Watch descriptor, -1 for {@link IN_Q_OVERFLOW}. */
  readonly wd: number;
  readonly mask: number;
  /** The same in the IN_MOVED_FROM and the IN_MOVED_TO of one rename. */
  readonly cookie: number;
  /** The name in the watched directory, one character for each byte; "" when the event is about the watched object itself. */
  readonly name: string;
}

/** An inotify instance. It never waits. */
export class Inotify {
  readonly fd: number;
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  readonly #address = addressOf(this.#buffer);

  /** @throws SysError at the limit of instances */
  constructor() {
    this.fd = check(inotifyInit1(IN_NONBLOCK | IN_CLOEXEC), "inotify_init1");
  }

  /** Watches the object at `path`, an address. @returns its watch descriptor, the same for the same inode, or -errno */
  add(path: number, mask: number): number {
    const wd = inotifyAddWatch(this.fd, path, mask);
    return wd < 0 ? -lastErrno() : wd;
  }

  /** Ends a watch; one that has ended by itself is no error. */
  remove(wd: number): void {
    inotifyRmWatch(this.fd, wd);
  }

  /** Takes all events that there are now. @throws SysError */
  drain(take: (event: InotifyEvent) => void): void {
    for (;;) {
      const length = read(this.fd, this.#address, BUFFER_BYTES);
      if (length < 0) {
        const errno = lastErrno();
        if (errno === Errno.EINTR) continue;
        if (errno === Errno.EAGAIN) return;
        throw SysError.fromErrno(errno, "read", "inotify");
      }
      for (let offset = 0; offset < length; ) offset = this.#parse(offset, take);
    }
  }

  close(): void {
    close(this.fd);
  }

  #parse(offset: number, take: (event: InotifyEvent) => void): number {
    const buffer = this.#buffer;
    const end = offset + EVENT_BYTES + buffer.readUInt32LE(offset + 12);
    const nul = buffer.indexOf(0, offset + EVENT_BYTES);
    take({
      wd: buffer.readInt32LE(offset),
      mask: buffer.readUInt32LE(offset + 4),
      cookie: buffer.readUInt32LE(offset + 8),
      name: buffer.toString("latin1", offset + EVENT_BYTES, nul < 0 ? end : Math.min(nul, end)),
    });
    return end;
  }
}
