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
import { SESSION } from "../state.js";

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

/** A {@link MarkBroker} behind a socket, which each worker has from the one before. */
export class MarkBrokerSocket implements MarkBroker {
  readonly #socket: MessageSocket;
  readonly #polled = new PollSet(1);
  readonly #request = new Uint8Array(MARK_REQUEST_MAX_BYTES);
  readonly #view = new DataView(this.#request.buffer);
  readonly #reply = new DataView(new ArrayBuffer(MARK_REPLY_BYTES));
  readonly #replyBytes = new Uint8Array(this.#reply.buffer);
  readonly #descriptors: number[] = [];
  /** Bytes of the reply that is being read. */
  #received = 0;
  #isGone = false;

  readonly path = this.#request.subarray(MARK_REQUEST_HEADER_BYTES);

  /**
   * @param fd a connected stream socket, which belongs to the broker from now on
   * @param session where questions are counted: see {@link SESSION}
   */
  constructor(
    fd: number,
    private readonly session: DataView,
  ) {
    this.#socket = new MessageSocket(fd);
  }

  /** @returns -EIO where there is no answer within {@link REPLY_LIMIT_MS}, or nobody who answers */
  ask(operation: MarkOperation, inodeLow: number, inodeHigh: number, pathBytes: number): number {
    if (this.#isGone) return -Errno.EIO;
    const number = (this.session.getUint32(SESSION.markRequest, true) + 1) >>> 0;
    // It counts before it is asked: a worker that dies then may leave the answer to the next.
    this.session.setUint32(SESSION.markRequest, number, true);
    writeMarkRequest(this.#view, operation, inodeLow, inodeHigh, number, pathBytes);
    try {
      this.#socket.send(this.#request.subarray(0, MARK_REQUEST_HEADER_BYTES + pathBytes));
      return this.#receive(number) ? this.#reply.getInt32(0, true) : -Errno.EIO;
    } catch (error) {
      // The other side has gone: to the guest an error of this directory, no end of the file system.
      if (!(error instanceof SysError)) throw error;
      this.#isGone = true;
      return -Errno.EIO;
    }
  }

  /** Reads the reply to the question of that number, and any that came too late before it. */
  #receive(number: number): boolean {
    const deadlineMs = performance.now() + REPLY_LIMIT_MS;
    for (;;) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) return false;
      this.#polled.clear();
      this.#polled.add(this.#socket.fd);
      if (this.#polled.wait(Math.ceil(leftMs)) === 0) continue;
      const length = this.#socket.receive(
        this.#replyBytes,
        this.#received,
        MARK_REPLY_BYTES - this.#received,
        this.#descriptors,
      );
      if (length === 0) {
        this.#isGone = true;
        return false;
      }
      this.#received += Math.max(0, length);
      if (this.#received < MARK_REPLY_BYTES) continue;
      this.#received = 0;
      if (this.#reply.getUint32(4, true) === number) return true;
    }
  }
}
