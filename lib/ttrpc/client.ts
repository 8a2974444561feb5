import type { Duplex } from "node:stream";
import { decodeReply, encodeRequest } from "./envelope.js";
import { TtrpcError } from "./error.js";
import { encodeFrame, FrameDecoder, FrameType, MAX_PAYLOAD_BYTES } from "./frame.js";
import { StatusCode } from "./status.js";
import { startTimer } from "./timer.js";

export interface CallOptions {
  /** How long to wait, sending included; the server is told, too. Without it the call may take for ever. */
  readonly timeoutMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Gives up waiting: the call fails with CANCELLED. ttrpc has no way to tell the server. */
  readonly signal?: AbortSignal;
}

/** The calling side of one connection. Any number of calls may be under way. */
export interface TtrpcClient {
  /**
   * @returns the reply's payload
   * @throws TtrpcError the server's status; DEADLINE_EXCEEDED, CANCELLED, RESOURCE_EXHAUSTED for a request that is too long;
   * UNAVAILABLE when the connection is gone
   */
  call(service: string, method: string, payload: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  /** Ends the connection; calls under way fail with UNAVAILABLE. */
  close(): void;
  /** Resolves once the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
}

/** @param duplex a connected stream; it belongs to the client from now on */
export function createClient(duplex: Duplex): TtrpcClient {
  return new Client(duplex);
}

interface Call {
  readonly message: Buffer;
  resolve(payload: Uint8Array): void;
  reject(error: TtrpcError): void;
  /** Absent until the request is written. */
  streamId?: number;
}

/** Stream ids are odd, increasing, and of 32 bits. */
const STREAM_ID_MAX = 0xffff_ffff;

class Client implements TtrpcClient {
  readonly closed: Promise<void>;
  /** Calls that wait until the stream takes more bytes, the oldest first. */
  readonly #unsent = new Set<Call>();
  readonly #pending = new Map<number, Call>();
  #nextStreamId = 1;
  #isClosed = false;
  #cause: Error | undefined;

  constructor(private readonly duplex: Duplex) {
    const decoder = new FrameDecoder();
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.#fail();
        resolve();
      };
      if (duplex.closed) end();
      duplex.once("close", end);
    });
    // A server that ends its side answers nothing more.
    if (duplex.readableEnded) this.close();
    duplex.once("end", () => this.close());
    duplex.on("error", (error) => {
      this.#cause = error;
    });
    duplex.on("drain", () => this.#send());
    duplex.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) {
        if (frame.type === FrameType.RESPONSE)
          this.#answer(frame.streamId, frame.payload, frame.oversizeBytes);
      }
    });
  }

  async call(
    service: string,
    method: string,
    payload: Uint8Array,
    options: CallOptions = {},
  ): Promise<Uint8Array> {
    const { timeoutMs = Number.POSITIVE_INFINITY, signal } = options;
    const expired = () =>
      new TtrpcError(StatusCode.DEADLINE_EXCEEDED, `${service}/${method}: no answer within ${timeoutMs} ms`);
    if (!(timeoutMs > 0)) throw expired();
    const message = encodeRequest({
      service,
      method,
      payload,
      timeoutMs: timeoutMs === Number.POSITIVE_INFINITY ? 0 : timeoutMs,
      metadata: new Map(Object.entries(options.metadata ?? {})),
    });
    if (message.length > MAX_PAYLOAD_BYTES) {
      throw new TtrpcError(
        StatusCode.RESOURCE_EXHAUSTED,
        `${service}/${method}: the request has ${message.length} bytes, over the limit of ${MAX_PAYLOAD_BYTES}`,
      );
    }
    if (signal?.aborted) throw cancelled(service, method, signal.reason);
    if (this.#isClosed) throw closedError(this.#cause);

    let call: Call | undefined;
    let stopTimer: (() => void) | undefined;
    let onAbort: (() => void) | undefined;
    try {
      return await new Promise<Uint8Array>((resolve, reject) => {
        stopTimer = startTimer(timeoutMs, () => reject(expired()));
        onAbort = () => reject(cancelled(service, method, signal?.reason));
        signal?.addEventListener("abort", onAbort, { once: true });
        call = { message, resolve, reject };
        this.#unsent.add(call);
        this.#send();
      });
    } finally {
      stopTimer?.();
      if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
      if (call !== undefined) this.#forget(call);
    }
  }

  close(): void {
    this.#fail();
    this.duplex.destroy();
  }

  /** Writes requests until the stream has enough; "drain" goes on. */
  #send(): void {
    for (const call of this.#unsent) {
      if (this.duplex.writableNeedDrain) return;
      this.#unsent.delete(call);
      if (this.#nextStreamId > STREAM_ID_MAX) {
        call.reject(closedError(new Error("the connection has used up its stream ids")));
        continue;
      }
      call.streamId = this.#nextStreamId;
      this.#nextStreamId += 2;
      this.#pending.set(call.streamId, call);
      this.duplex.write(encodeFrame(call.streamId, FrameType.REQUEST, call.message));
    }
  }

  #forget(call: Call): void {
    this.#unsent.delete(call);
    if (call.streamId !== undefined) this.#pending.delete(call.streamId);
  }

  /** An answer to a call that is no longer waited for is dropped. */
  #answer(streamId: number, message: Uint8Array, oversizeBytes: number | undefined): void {
    const call = this.#pending.get(streamId);
    if (call === undefined) return;
    if (oversizeBytes !== undefined) {
      const text = `the reply has ${oversizeBytes} bytes, over the limit of ${MAX_PAYLOAD_BYTES}`;
      call.reject(new TtrpcError(StatusCode.RESOURCE_EXHAUSTED, text));
      return;
    }
    try {
      const reply = decodeReply(message);
      if (reply instanceof TtrpcError) call.reject(reply);
      else call.resolve(reply);
    } catch (cause) {
      call.reject(new TtrpcError(StatusCode.INTERNAL, "the reply cannot be decoded", [], { cause }));
    }
  }

  #fail(): void {
    this.#isClosed = true;
    for (const call of [...this.#pending.values(), ...this.#unsent]) call.reject(closedError(this.#cause));
    this.#pending.clear();
    this.#unsent.clear();
  }
}

function closedError(cause?: Error): TtrpcError {
  return new TtrpcError(StatusCode.UNAVAILABLE, "ttrpc: closed", [], cause === undefined ? {} : { cause });
}

function cancelled(service: string, method: string, cause: unknown): TtrpcError {
  return new TtrpcError(StatusCode.CANCELLED, `${service}/${method}: cancelled`, [], { cause });
}
