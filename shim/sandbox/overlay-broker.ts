import type { Duplex } from "node:stream";
import {
  MARK_NAME,
  MARK_OPAQUE,
  MARK_REPLY_BYTES,
  MarkOperation,
  type MarkRequest,
  MarkRequestError,
  readMarkRequest,
} from "../../lib/overlay-marks/message.js";
import { Errno } from "../../lib/sys/errno.js";
import {
  AT_FDCWD,
  close,
  getxattr,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  openat,
  removexattr,
  setxattr,
} from "../../lib/sys/file.js";
import { addressOf, check, lastErrno } from "../../lib/sys/libc.js";
import {
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from "../../lib/sys/openat2.js";
import { Statx } from "../../lib/sys/statx.js";
import type { Logger } from "../log/logger.js";

const OPEN_DIRECTORY = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
/** The way down from a directory of the share stays on its mount and meets no symbolic link. */
const WITHIN = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const SLASH = 0x2f;
/** Components of the longest path that is served: a layer's, such as c1/lower/0. */
const SERVED_DEPTH_MAX = 3;
/** All that overlayfs knows: opaque, and "x" for a layer's directory with whiteouts that are attributes. */
const MARKS: readonly number[] = [MARK_OPAQUE, 0x78];
/** Answers that the daemon has not fetched: more than it can wait for at a time. */
const UNREAD_MAX_BYTES = 4096;

const name = Buffer.from(`${MARK_NAME}\0`);
const mark = Buffer.from([MARK_OPAQUE]);

interface Served {
  readonly fd: number;
  readonly isWritable: boolean;
}

/**
 * Marks directories as opaque for kata-fsd, which has no CAP_SYS_ADMIN, and reads such marks. What a daemon in the hands of an attacker
 * gains by it: it may mark directories of this sandbox's own upper directories, which containerd then takes for what they are
 * in the guest, too. It names directories by paths, and they are looked up here, from descriptors of what was put into the
 * share; nothing else can be reached, and no other attribute.
 */
export class OverlayBroker {
  /** By path in the share. */
  readonly #served = new Map<string, Served>();
  readonly #statx = new Statx();
  readonly #value = Buffer.alloc(1);
  #received: Uint8Array = new Uint8Array(0);

  constructor(private readonly logger: Logger) {}

  /** Answers what comes in from the daemon, until it ends or breaks the protocol. */
  serve(daemon: Duplex): void {
    // What ends the daemon is told elsewhere.
    daemon.on("error", (error) => this.logger.debug("overlay broker", { error: error.message }));
    daemon.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      try {
        this.#answerAll(daemon);
      } catch (error) {
        if (!(error instanceof MarkRequestError)) throw error;
        this.logger.warn("kata-fsd breaks the protocol of marks", { error: error.message });
        daemon.destroy();
      }
    });
  }

  /**
   * Serves a directory that was put into the share.
   * @param path relative to the share @param directory where it is now @throws SysError
   */
  add(path: string, directory: string, isWritable: boolean): void {
    const fd = openat(AT_FDCWD, addressOf(Buffer.from(`${directory}\0`)), OPEN_DIRECTORY, 0);
    this.#served.set(path, { fd: check(fd, "open", directory), isWritable });
  }

  /** Ends what {@link add} began for everything below `path`. */
  remove(path: string): void {
    for (const [served, { fd }] of this.#served) {
      if (!served.startsWith(`${path}/`)) continue;
      close(fd);
      this.#served.delete(served);
    }
  }

  close(): void {
    for (const { fd } of this.#served.values()) close(fd);
    this.#served.clear();
  }

  #answerAll(daemon: Duplex): void {
    for (;;) {
      const request = readMarkRequest(this.#received);
      if (request === undefined) return;
      const reply = Buffer.alloc(MARK_REPLY_BYTES);
      reply.writeInt32LE(this.#answer(request));
      reply.writeUInt32LE(request.number, 4);
      this.#received = this.#received.subarray(request.bytes);
      daemon.write(reply);
      if (daemon.writableLength > UNREAD_MAX_BYTES) throw new MarkRequestError("answers are not read");
    }
  }

  /** @returns the answer to the request, or -errno */
  #answer({ operation, path, inodeLow, inodeHigh }: MarkRequest): number {
    const found = this.#find(path);
    if (found === undefined) return -Errno.ENOENT;
    if (operation !== MarkOperation.read && !found.isWritable) return -Errno.EROFS;
    const fd = openat2(found.fd, found.rest, OPEN_DIRECTORY, WITHIN);
    if (fd < 0) return -lastErrno();
    try {
      if (this.#statx.readFd(fd) < 0) return -lastErrno();
      // Another directory has the path by now.
      if (this.#statx.inodeLow !== inodeLow || this.#statx.inodeHigh !== inodeHigh) return -Errno.ESTALE;
      return this.#handle(operation, fd);
    } finally {
      close(fd);
    }
  }

  #handle(operation: MarkOperation, fd: number): number {
    const self = Buffer.from(`/proc/self/fd/${fd}\0`);
    switch (operation) {
      case MarkOperation.read: {
        const length = getxattr(addressOf(self), addressOf(name), addressOf(this.#value), 1);
        if (length >= 0)
          return length === 1 && MARKS.includes(this.#value.readUInt8()) ? this.#value.readUInt8() : 0;
        const errno = lastErrno();
        // A longer value is none of overlayfs's.
        return errno === Errno.ENODATA || errno === Errno.ERANGE || errno === Errno.EOPNOTSUPP ? 0 : -errno;
      }
      case MarkOperation.set:
        return setxattr(addressOf(self), addressOf(name), addressOf(mark), 1, 0) < 0 ? -lastErrno() : 0;
      case MarkOperation.clear: {
        if (removexattr(addressOf(self), addressOf(name)) >= 0) return 0;
        const errno = lastErrno();
        return errno === Errno.ENODATA ? 0 : -errno;
      }
    }
  }

  /** The served directory that the path is in, and the rest of the path from there, NUL-terminated. */
  #find(path: Uint8Array): (Served & { readonly rest: Uint8Array }) | undefined {
    let end = -1;
    for (let depth = 0; depth < SERVED_DEPTH_MAX; depth++) {
      end = path.indexOf(SLASH, end + 1);
      const length = end < 0 ? path.length : end;
      const served = this.#served.get(Buffer.from(path.subarray(0, length)).toString());
      if (served !== undefined) {
        const rest = Buffer.from(path.subarray(length + 1)).toString("latin1");
        return { ...served, rest: Buffer.from(`${rest === "" ? "." : rest}\0`, "latin1") };
      }
      if (end < 0) break;
    }
    return undefined;
  }
}
