import { close } from "../sys/file.js";
import type { MessageSocket } from "../sys/unix-socket.js";
import {
  decodeHeader,
  HEADER_BYTES,
  type MessageHeader,
  PAYLOAD_BYTES_MAX,
  VhostUserError,
} from "./message.js";

/** Descriptors that one message may bring: SET_MEM_TABLE has the most. */
const FDS_MAX = 8;

/** A message as it came. `payload` is valid until the next one is received; `fds` belong to whoever takes them. */
export interface Message {
  readonly header: MessageHeader;
  readonly payload: Uint8Array;
  readonly fds: number[];
}

/** A message on its way, in memory that may outlive the worker: how much of it has come, its descriptors, its bytes. */
const RECEIVED = { byteCount: 0, fdCount: 4, fds: 8, bytes: 8 + 4 * FDS_MAX } as const;
/** Bytes of the table of a {@link MessageReceiver}. */
export const RECEIVED_BYTES = RECEIVED.bytes + HEADER_BYTES + PAYLOAD_BYTES_MAX;

/** Descriptors of a message that has not been dealt with. */
export function receivedDescriptors(table: DataView): number[] {
  const count = Math.min(table.getUint32(RECEIVED.fdCount, true), FDS_MAX);
  return Array.from({ length: count }, (_, index) => table.getInt32(RECEIVED.fds + 4 * index, true));
}

/** Cuts what comes over a vhost-user socket into messages, without waiting for any. */
export class MessageReceiver {
  readonly #table: DataView;
  readonly #buffer: Uint8Array;
  #header: MessageHeader | undefined;
  #fds: number[];
  /** Whether the message was given to the caller. */
  #isDelivered = false;

  /** @param table of {@link RECEIVED_BYTES}: what another worker has received of a message, and not dealt with, comes first */
  constructor(
    private readonly socket: MessageSocket,
    table: DataView = new DataView(new ArrayBuffer(RECEIVED_BYTES)),
  ) {
    this.#table = table;
    this.#buffer = new Uint8Array(
      table.buffer,
      table.byteOffset + RECEIVED.bytes,
      RECEIVED_BYTES - RECEIVED.bytes,
    );
    this.#fds = receivedDescriptors(table);
  }

  /** The last message has been dealt with. So it has, too, when the next one is asked for. */
  done(): void {
    if (!this.#isDelivered) return;
    this.#isDelivered = false;
    this.#header = undefined;
    this.#received = 0;
    this.#noteFds();
  }

  /**
   * @returns the next message, "empty" when there is no whole one yet, or "end" when the other side is gone
   * @throws VhostUserError, SysError
   */
  receive(): Message | "empty" | "end" {
    this.done();
    for (;;) {
      const needed = HEADER_BYTES + (this.#header?.payloadBytes ?? 0);
      if (this.#received < needed) {
        const count = this.socket.receive(this.#buffer, this.#received, needed - this.#received, this.#fds);
        if (count < 0) return "empty";
        if (count === 0) {
          this.close();
          return "end";
        }
        this.#received += count;
        this.#noteFds();
        if (this.#fds.length > FDS_MAX)
          throw new VhostUserError(`${this.#fds.length} descriptors with one message`);
        continue;
      }
      if (this.#header === undefined) {
        this.#header = decodeHeader(new DataView(this.#buffer.buffer, this.#buffer.byteOffset, HEADER_BYTES));
        continue;
      }
      const message = {
        header: this.#header,
        payload: this.#buffer.subarray(HEADER_BYTES, needed),
        fds: this.#fds,
      };
      this.#fds = [];
      this.#isDelivered = true;
      return message;
    }
  }

  /** Closes the descriptors of a message that did not come whole. */
  close(): void {
    for (const fd of this.#fds.splice(0)) close(fd);
    this.#received = 0;
    this.#noteFds();
  }

  get #received(): number {
    return this.#table.getUint32(RECEIVED.byteCount, true);
  }
  set #received(count: number) {
    this.#table.setUint32(RECEIVED.byteCount, count, true);
  }

  #noteFds(): void {
    const count = Math.min(this.#fds.length, FDS_MAX);
    for (let index = 0; index < count; index++) {
      this.#table.setInt32(RECEIVED.fds + 4 * index, this.#fds[index] ?? -1, true);
    }
    this.#table.setUint32(RECEIVED.fdCount, count, true);
  }
}
