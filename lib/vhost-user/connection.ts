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

/** Cuts what comes over a vhost-user socket into messages, without waiting for any. */
export class MessageReceiver {
  readonly #buffer = new Uint8Array(HEADER_BYTES + PAYLOAD_BYTES_MAX);
  readonly #view = new DataView(this.#buffer.buffer);
  #received = 0;
  #header: MessageHeader | undefined;
  #fds: number[] = [];

  constructor(private readonly socket: MessageSocket) {}

  /**
   * @returns the next message, "empty" when there is no whole one yet, or "end" when the other side is gone
   * @throws VhostUserError, SysError
   */
  receive(): Message | "empty" | "end" {
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
        if (this.#fds.length > FDS_MAX)
          throw new VhostUserError(`${this.#fds.length} descriptors with one message`);
        continue;
      }
      if (this.#header === undefined) {
        this.#header = decodeHeader(this.#view);
        continue;
      }
      const message = {
        header: this.#header,
        payload: this.#buffer.subarray(HEADER_BYTES, needed),
        fds: this.#fds,
      };
      this.#received = 0;
      this.#header = undefined;
      this.#fds = [];
      return message;
    }
  }

  /** Closes the descriptors of a message that did not come whole. */
  close(): void {
    for (const fd of this.#fds.splice(0)) close(fd);
  }
}
