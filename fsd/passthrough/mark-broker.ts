import {
  MARK_REPLY_BYTES,
  MARK_REQUEST_HEADER_BYTES,
  MARK_REQUEST_MAX_BYTES,
  type MarkOperation,
  writeMarkRequest,
} from "../../lib/overlay-marks/message.js";
import { Errno, SysError } from "../../lib/sys/errno.js";
import { PollSet } from "../../lib/sys/poll.js";
import { MessageSocket } from "../../lib/sys/unix-socket.js";

/** The shim answers from its event loop, which may start programs meanwhile. */
const REPLY_LIMIT_MS = 10_000;

/** What has CAP_SYS_ADMIN and handles marks of opaque directories for this daemon: see {@link MarkOperation}. */
export interface MarkBroker {
  /** Where the path of the next request belongs. */
  readonly path: Uint8Array;
  /**
   * Asks about the directory of the inode number, whose path is in the first `pathBytes` of {@link path}.
   * @returns the answer, or -errno
   */
  ask(operation: MarkOperation, inodeLow: number, inodeHigh: number, pathBytes: number): number;
}

/** A {@link MarkBroker} behind a socket. */
export class MarkBrokerSocket implements MarkBroker {
  readonly #socket: MessageSocket;
  readonly #polled = new PollSet(1);
  readonly #request = new Uint8Array(MARK_REQUEST_MAX_BYTES);
  readonly #view = new DataView(this.#request.buffer);
  readonly #reply = new DataView(new ArrayBuffer(MARK_REPLY_BYTES));
  readonly #replyBytes = new Uint8Array(this.#reply.buffer);
  readonly #descriptors: number[] = [];
  #isLost = false;

  readonly path = this.#request.subarray(MARK_REQUEST_HEADER_BYTES);

  /** @param fd a connected stream socket, which belongs to the broker from now on */
  constructor(fd: number) {
    this.#socket = new MessageSocket(fd);
  }

  /** @returns -EIO from the first time on that there was no answer within {@link REPLY_LIMIT_MS} */
  ask(operation: MarkOperation, inodeLow: number, inodeHigh: number, pathBytes: number): number {
    // An answer that came late would be taken for that to the next question.
    if (this.#isLost) return -Errno.EIO;
    writeMarkRequest(this.#view, operation, inodeLow, inodeHigh, pathBytes);
    this.#isLost = true;
    try {
      this.#socket.send(this.#request.subarray(0, MARK_REQUEST_HEADER_BYTES + pathBytes));
      if (!this.#receive()) return -Errno.EIO;
    } catch (error) {
      // The other side has gone: to the guest an error of this directory, no end of the file system.
      if (!(error instanceof SysError)) throw error;
      return -Errno.EIO;
    }
    this.#isLost = false;
    return this.#reply.getInt32(0, true);
  }

  #receive(): boolean {
    const deadlineMs = performance.now() + REPLY_LIMIT_MS;
    for (let received = 0; received < MARK_REPLY_BYTES; ) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) return false;
      this.#polled.clear();
      this.#polled.add(this.#socket.fd);
      if (this.#polled.wait(Math.ceil(leftMs)) === 0) continue;
      const length = this.#socket.receive(
        this.#replyBytes,
        received,
        MARK_REPLY_BYTES - received,
        this.#descriptors,
      );
      if (length === 0) return false;
      received += Math.max(0, length);
    }
    return true;
  }
}
