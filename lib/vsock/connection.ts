import { Duplex } from "node:stream";
import { Errno, SysError } from "../sys/errno.js";
import {
  VSOCK_SHUTDOWN_RECEIVE,
  VSOCK_SHUTDOWN_SEND,
  VsockOp,
  type VsockPacket,
  VsockType,
} from "./packet.js";

/** What a connection takes in before its reader does. The guest may not send more (virtio 1.3, 5.10.6.3). */
export const RECEIVE_BUFFER_BYTES = 256 * 1024;
/** The guest learns of room that was made when it is this much. */
const CREDIT_STEP_BYTES = RECEIVE_BUFFER_BYTES / 4;

/** What a connection has to say next. Data packets carry the first bytes of `data` that fit. */
export interface Outgoing {
  readonly op: number;
  readonly flags: number;
  readonly data: Buffer | undefined;
}

export interface ConnectionOwner {
  /** The connection has something for the guest. */
  hasOutgoing(connection: VsockConnection): void;
  /** Neither side will use the connection any more. */
  closed(connection: VsockConnection): void;
}

/**
 * The host's end of one stream between host and guest, with the credits of both directions. Nothing is sent without the guest's
 * credit, and nothing taken beyond the host's.
 */
export class VsockConnection extends Duplex {
  /** "connecting" until the guest has answered the request; "accepting" until the guest's request has been answered. */
  #state: "connecting" | "accepting" | "open" | "closed";
  #hasRequested = false;
  #established: { resolve: () => void; reject: (error: Error) => void } | undefined;

  // From guest to host.
  readonly #received: Buffer[] = [];
  #receivedBytes = 0;
  #fwdCntBytes = 0;
  #announcedFwdCntBytes = 0;
  #hasGuestFinished = false;
  #wantsInput = false;
  #mustUpdateCredit = false;

  // From host to guest.
  #guestBufAllocBytes = 0;
  #guestFwdCntBytes = 0;
  #sentBytes = 0;
  #unsent: { data: Buffer; done: (error?: Error | null) => void } | undefined;
  #mustShutdown: ((error?: Error | null) => void) | undefined;
  #mustReset = false;

  constructor(
    readonly hostPort: number,
    readonly guestPort: number,
    private readonly owner: ConnectionOwner,
    request: VsockPacket | undefined,
  ) {
    super({ allowHalfOpen: true });
    this.#state = request === undefined ? "connecting" : "accepting";
    if (request !== undefined) this.#takeCredit(request);
    owner.hasOutgoing(this);
  }

  /** Resolves when the guest has accepted. @throws SysError ECONNREFUSED, ECONNRESET */
  established(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#state === "open") resolve();
      else if (this.#state === "closed") reject(SysError.fromErrno(Errno.ECONNRESET, "connect"));
      else this.#established = { resolve, reject };
    });
  }

  /**
   * Takes a packet of the guest.
   * @param data the packet's bytes, which belong to the connection
   * @returns false if it breaks the rules
   */
  receive(packet: VsockPacket, data: Buffer): boolean {
    this.#takeCredit(packet);
    switch (packet.op) {
      case VsockOp.RESPONSE:
        if (this.#state !== "connecting") return false;
        this.#state = "open";
        this.#established?.resolve();
        this.owner.hasOutgoing(this);
        return true;
      case VsockOp.RST:
        this.reset();
        return true;
      case VsockOp.SHUTDOWN:
        return this.#state === "open" && this.#shutDown(packet.flags);
      case VsockOp.RW:
        return this.#state === "open" && this.#takeData(data);
      case VsockOp.CREDIT_UPDATE:
        this.owner.hasOutgoing(this);
        return true;
      case VsockOp.CREDIT_REQUEST:
        this.#mustUpdateCredit = true;
        this.owner.hasOutgoing(this);
        return true;
      default:
        return false;
    }
  }

  /**
   * What to send next, in this order: answers, data, the end. To be sent at once; {@link sent} follows.
   * @param roomBytes how much data the packet has room for
   * @returns undefined if there is nothing, or no credit for it
   */
  outgoing(roomBytes: number): Outgoing | undefined {
    if (this.#mustReset) return { op: VsockOp.RST, flags: 0, data: undefined };
    if (this.#state === "closed") return undefined;
    if (this.#state === "connecting") {
      return !this.#hasRequested ? { op: VsockOp.REQUEST, flags: 0, data: undefined } : undefined;
    }
    if (this.#state === "accepting") return { op: VsockOp.RESPONSE, flags: 0, data: undefined };
    if (this.#unsent !== undefined) {
      const bytes = Math.min(this.#unsent.data.length, roomBytes, this.#creditBytes);
      if (bytes > 0) return { op: VsockOp.RW, flags: 0, data: this.#unsent.data.subarray(0, bytes) };
    } else if (this.#mustShutdown !== undefined) {
      return { op: VsockOp.SHUTDOWN, flags: VSOCK_SHUTDOWN_SEND, data: undefined };
    }
    return this.#mustUpdateCredit ? { op: VsockOp.CREDIT_UPDATE, flags: 0, data: undefined } : undefined;
  }

  /** The packet that carries `outgoing`. */
  packet(outgoing: Outgoing): VsockPacket {
    return {
      sourcePort: this.hostPort,
      destinationPort: this.guestPort,
      lengthBytes: outgoing.data?.length ?? 0,
      type: VsockType.STREAM,
      op: outgoing.op,
      flags: outgoing.flags,
      bufAllocBytes: RECEIVE_BUFFER_BYTES,
      fwdCntBytes: this.#fwdCntBytes >>> 0,
    };
  }

  /** `outgoing` has been sent. */
  sent(outgoing: Outgoing): void {
    this.#announcedFwdCntBytes = this.#fwdCntBytes;
    this.#mustUpdateCredit = false;
    switch (outgoing.op) {
      case VsockOp.REQUEST:
        this.#hasRequested = true;
        break;
      case VsockOp.RESPONSE:
        this.#state = "open";
        break;
      case VsockOp.RST:
        this.#mustReset = false;
        this.reset();
        break;
      case VsockOp.SHUTDOWN: {
        const done = this.#mustShutdown;
        this.#mustShutdown = undefined;
        done?.();
        break;
      }
      case VsockOp.RW:
        this.#dataSent(outgoing.data?.length ?? 0);
        break;
    }
  }

  /** The connection is gone on the guest's side, or with the guest. */
  reset(): void {
    if (this.#state === "closed") return;
    const code = this.#state === "connecting" ? Errno.ECONNREFUSED : Errno.ECONNRESET;
    const error = SysError.fromErrno(code, "vsock", `port ${this.guestPort}`);
    const isComplete = this.#hasGuestFinished && this.#unsent === undefined;
    this.#close();
    this.#established?.reject(error);
    const unsent = this.#unsent;
    this.#unsent = undefined;
    const shutdown = this.#mustShutdown;
    this.#mustShutdown = undefined;
    if (isComplete) shutdown?.();
    else if (unsent !== undefined) unsent.done(error);
    else if (shutdown !== undefined) shutdown();
    // What has arrived is still there to be read.
    this.#hasGuestFinished = true;
    this.#deliver();
  }

  override _read(): void {
    this.#wantsInput = true;
    this.#deliver();
  }

  override _write(data: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#state === "closed") {
      done(SysError.fromErrno(Errno.EPIPE, "vsock", `port ${this.guestPort}`));
      return;
    }
    this.#unsent = { data, done };
    this.owner.hasOutgoing(this);
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#state === "closed") {
      done();
      return;
    }
    this.#mustShutdown = done;
    this.owner.hasOutgoing(this);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#state !== "closed") {
      this.#mustReset = true;
      this.#received.length = 0;
      this.owner.hasOutgoing(this);
    }
    done(error);
  }

  get #creditBytes(): number {
    // Both counters are modulo 2^32; what is under way never exceeds what was allocated.
    const underWay = (this.#sentBytes - this.#guestFwdCntBytes) >>> 0;
    return Math.max(0, this.#guestBufAllocBytes - underWay);
  }

  #takeCredit(packet: VsockPacket): void {
    this.#guestBufAllocBytes = packet.bufAllocBytes;
    this.#guestFwdCntBytes = packet.fwdCntBytes;
  }

  #takeData(data: Buffer): boolean {
    if (this.#hasGuestFinished) return false;
    if (data.length === 0) return true;
    this.#receivedBytes += data.length;
    if (this.#receivedBytes - this.#fwdCntBytes > RECEIVE_BUFFER_BYTES) return false;
    // Nobody reads what comes after the stream was destroyed.
    if (this.destroyed) return true;
    this.#received.push(data);
    this.#deliver();
    return true;
  }

  #shutDown(flags: number): boolean {
    if ((flags & VSOCK_SHUTDOWN_SEND) !== 0) this.#hasGuestFinished = true;
    if ((flags & VSOCK_SHUTDOWN_RECEIVE) !== 0 && this.#unsent !== undefined) {
      const { done } = this.#unsent;
      this.#unsent = undefined;
      done(SysError.fromErrno(Errno.EPIPE, "vsock", `port ${this.guestPort}`));
    }
    const isOver = (flags & VSOCK_SHUTDOWN_RECEIVE) !== 0 && this.#hasGuestFinished;
    // The guest has closed its socket and waits for the confirmation.
    if (isOver) {
      this.#mustReset = true;
      this.owner.hasOutgoing(this);
    }
    this.#deliver();
    return true;
  }

  #deliver(): void {
    while (this.#wantsInput) {
      const data = this.#received.shift();
      if (data === undefined) {
        if (this.#hasGuestFinished) {
          this.#wantsInput = false;
          this.push(null);
        }
        break;
      }
      this.#fwdCntBytes += data.length;
      this.#wantsInput = this.push(data);
    }
    if (this.#fwdCntBytes - this.#announcedFwdCntBytes >= CREDIT_STEP_BYTES && this.#state === "open") {
      this.#mustUpdateCredit = true;
      this.owner.hasOutgoing(this);
    }
  }

  #dataSent(bytes: number): void {
    this.#sentBytes += bytes;
    const unsent = this.#unsent;
    if (unsent === undefined) return;
    unsent.data = unsent.data.subarray(bytes);
    if (unsent.data.length > 0) return;
    this.#unsent = undefined;
    unsent.done();
  }

  #close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.owner.closed(this);
  }
}
