import { Duplex } from "node:stream";
import type { SegmentList } from "../virtio/segment-list.js";
import { SHUTDOWN_RCV, SHUTDOWN_SEND, type VsockHeader, VsockOp } from "./packet.js";

/** Room for what a guest sends and nobody has read yet, per connection. */
export const BUF_ALLOC_BYTES = 256 * 1024;

/** The peer is told of room when this much has become free since it was told last. */
const CREDIT_STEP_BYTES = BUF_ALLOC_BYTES / 2;

/** A connection that cannot be made or has ended out of order; `code` is an errno's name, as Node's sockets have it. */
export class VsockError extends Error {
  override readonly name = "VsockError";

  constructor(
    readonly code: "ECONNREFUSED" | "ECONNRESET" | "EPIPE" | "EPROTO" | "ECANCELED",
    message: string,
  ) {
    super(`${code}: ${message}`);
  }
}

/** Where a stream's packets go. */
export interface StreamOutput {
  /** The stream has payload, and perhaps credit, for the peer. */
  payloadReady(stream: VsockStream): void;
  /** A packet without payload; it overtakes no payload of the same stream. */
  control(stream: VsockStream, op: number, flags: number): void;
  /** The stream is done; packets for it are those of an unknown connection from now on. */
  gone(stream: VsockStream): void;
}

type WriteCallback = (error?: Error | null) => void;

/** The host's end of a connection with a port of the guest. */
export class VsockStream extends Duplex {
  /** The peer's credit: its room, and what it has taken out. */
  #peerBufAlloc = 0;
  #peerFwdCnt = 0;
  /** Bytes sent and received so far, modulo 2^32. */
  #txCount = 0;
  #rxCount = 0;
  /** What the peer was told last of what was read here. */
  #toldFwdCnt = 0;
  #creditRequested = false;
  #pending: Uint8Array | undefined;
  #pendingOffset = 0;
  #pendingCallback: WriteCallback | undefined;
  #final: WriteCallback | undefined;
  /** SHUTDOWN flags of the peer. */
  #peerShutdown = 0;
  #peerReset = false;

  constructor(
    readonly localPort: number,
    readonly peerPort: number,
    private readonly output: StreamOutput,
  ) {
    super({ allowHalfOpen: true, readableHighWaterMark: BUF_ALLOC_BYTES });
  }

  /** Bytes read here, as the peer is told: what was received and does not wait any more. */
  get fwdCnt(): number {
    return (this.#rxCount - this.readableLength) >>> 0;
  }

  /** How many bytes the peer has room for. */
  get credit(): number {
    const inFlight = (this.#txCount - this.#peerFwdCnt) >>> 0;
    return Math.max(0, this.#peerBufAlloc - inFlight);
  }

  get hasPayload(): boolean {
    return this.#pending !== undefined;
  }

  /** Notes that every packet carries {@link fwdCnt}. */
  told(): void {
    this.#toldFwdCnt = this.fwdCnt;
  }

  /**
   * Writes as much payload as fits to `target` from `offset` on.
   *
   * @returns the number of bytes; 0 if there is no payload or no credit
   */
  takePayload(target: SegmentList, offset: number): number {
    const pending = this.#pending;
    if (pending === undefined) return 0;
    const wanted = Math.min(pending.length - this.#pendingOffset, this.credit);
    const length = target.copyOut(offset, pending, this.#pendingOffset, wanted);
    this.#pendingOffset += length;
    this.#txCount = (this.#txCount + length) >>> 0;
    if (this.#pendingOffset === pending.length) {
      const callback = this.#pendingCallback;
      this.#pending = undefined;
      this.#pendingCallback = undefined;
      callback?.();
    } else if (length === 0 && !this.#creditRequested) {
      this.#creditRequested = true;
      this.output.control(this, VsockOp.CREDIT_REQUEST, 0);
    }
    return length;
  }

  /** Takes the credit that each packet of the peer carries. */
  updateCredit({ bufAlloc, fwdCnt }: VsockHeader): void {
    this.#peerBufAlloc = bufAlloc;
    this.#peerFwdCnt = fwdCnt;
    if (this.credit === 0) return;
    this.#creditRequested = false;
    if (this.#pending !== undefined) this.output.payloadReady(this);
  }

  /** Payload of the peer. */
  receive(payload: Buffer): void {
    if ((this.#peerShutdown & SHUTDOWN_SEND) !== 0) {
      this.destroy(
        new VsockError("EPROTO", `port ${this.peerPort} sent after it had said that it would not`),
      );
      return;
    }
    if (this.readableLength + payload.length > BUF_ALLOC_BYTES) {
      this.destroy(new VsockError("EPROTO", `port ${this.peerPort} sent more than it was given room for`));
      return;
    }
    this.#rxCount = (this.#rxCount + payload.length) >>> 0;
    this.push(payload);
    this.#tellCredit();
  }

  /** The peer does not send, or does not read, any more. */
  receiveShutdown(flags: number): void {
    const news = flags & ~this.#peerShutdown;
    this.#peerShutdown |= flags;
    if ((news & SHUTDOWN_SEND) !== 0) this.push(null);
    if ((news & SHUTDOWN_RCV) === 0) return;
    const error = new VsockError("EPIPE", `port ${this.peerPort} does not read any more`);
    if (this.#pending !== undefined) this.#failWrites(error);
    else if ((this.#peerShutdown & SHUTDOWN_SEND) !== 0) this.end();
  }

  /** The peer has ended the connection. Whatever it sent before can still be read. */
  receiveReset(): void {
    this.#peerReset = true;
    this.output.gone(this);
    const isOrderly = (this.#peerShutdown & SHUTDOWN_SEND) !== 0 || this.writableEnded;
    if (!isOrderly) {
      this.destroy(new VsockError("ECONNRESET", `port ${this.peerPort} reset the connection`));
      return;
    }
    if (!this.readableEnded && (this.#peerShutdown & SHUTDOWN_SEND) === 0) this.push(null);
    this.#failWrites(new VsockError("EPIPE", `port ${this.peerPort} is gone`));
    this.#final?.();
    this.end();
  }

  override _read(): void {
    this.#tellCredit();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    if (this.#peerReset || (this.#peerShutdown & SHUTDOWN_RCV) !== 0) {
      callback(new VsockError("EPIPE", `port ${this.peerPort} does not read any more`));
      return;
    }
    if (chunk.length === 0) {
      callback();
      return;
    }
    this.#pending = chunk;
    this.#pendingOffset = 0;
    this.#pendingCallback = callback;
    this.output.payloadReady(this);
  }

  override _final(callback: WriteCallback): void {
    if (!this.#peerReset) this.output.control(this, VsockOp.SHUTDOWN, SHUTDOWN_SEND);
    callback();
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    if (!this.#peerReset) {
      const isOrderly = error === null && this.writableFinished && this.readableEnded;
      if (isOrderly) this.output.control(this, VsockOp.SHUTDOWN, SHUTDOWN_SEND | SHUTDOWN_RCV);
      else this.output.control(this, VsockOp.RST, 0);
      this.output.gone(this);
    }
    this.#failWrites(error ?? new VsockError("ECANCELED", "the stream was destroyed"));
    callback(error);
  }

  #failWrites(error: Error): void {
    const callback = this.#pendingCallback;
    this.#pending = undefined;
    this.#pendingCallback = undefined;
    callback?.(error);
  }

  #tellCredit(): void {
    if (this.#peerReset || this.destroyed) return;
    const news = (this.fwdCnt - this.#toldFwdCnt) >>> 0;
    if (news < CREDIT_STEP_BYTES) return;
    this.told();
    this.output.control(this, VsockOp.CREDIT_UPDATE, 0);
  }
}
