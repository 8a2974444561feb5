import type { Duplex } from "node:stream";
import { decodeReply, encodeRequest } from "./envelope.js";
import { TtrpcError } from "./error.js";
import { encodeFrame, FrameDecoder, FrameType, MAX_PAYLOAD_BYTES } from "./frame.js";
import { StatusCode } from "./status.js";

export interface CallOptions {
  /** How long to wait; the server is told, too. Without it the call may take for ever. */
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

interface PendingCall {
  resolve(payload: Uint8Array): void;
  reject(error: TtrpcError): void;
}

/** Stream ids are odd, increasing, and of 32 bits. */
const STREAM_ID_MAX = 0xffff_ffff;

class Client implements TtrpcClient {
  readonly closed: Promise<void>;
  readonly #pending = new Map<number, PendingCall>();
  #nextStreamId = 1;
  #isClosed = false;

  constructor(private readonly duplex: Duplex) {
    const decoder = new FrameDecoder();
    let cause: Error | undefined;
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.#fail(cause);
        resolve();
      };
      duplex.once("close", end);
      // A server that ends its side answers nothing more.
      duplex.once("end", () => {
        this.#fail(cause);
        duplex.destroy();
      });
    });
    duplex.on("error", (error) => {
      cause = error;
    });
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
    const { timeoutMs, signal } = options;
    const message = encodeRequest({
      service,
      method,
      payload,
      timeoutMs: timeoutMs ?? 0,
      metadata: new Map(Object.entries(options.metadata ?? {})),
    });
    if (message.length > MAX_PAYLOAD_BYTES) {
      throw new TtrpcError(
        StatusCode.RESOURCE_EXHAUSTED,
        `${service}/${method}: the request has ${message.length} bytes, over the limit of ${MAX_PAYLOAD_BYTES}`,
      );
    }
    if (signal?.aborted) throw cancelled(service, method, signal.reason);
    if (this.#isClosed || this.#nextStreamId > STREAM_ID_MAX) throw closedError();

    const streamId = this.#nextStreamId;
    this.#nextStreamId += 2;
    let timer: NodeJS.Timeout | undefined;
    let onAbort: (() => void) | undefined;
    try {
      return await new Promise<Uint8Array>((resolve, reject) => {
        this.#pending.set(streamId, { resolve, reject });
        if (timeoutMs !== undefined) {
          timer = setTimeout(() => {
            const text = `${service}/${method}: no answer within ${timeoutMs} ms`;
            reject(new TtrpcError(StatusCode.DEADLINE_EXCEEDED, text));
          }, timeoutMs);
        }
        if (signal !== undefined) {
          onAbort = () => reject(cancelled(service, method, signal.reason));
          signal.addEventListener("abort", onAbort, { once: true });
        }
        this.duplex.write(encodeFrame(streamId, FrameType.REQUEST, message));
      });
    } finally {
      clearTimeout(timer);
      if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
      this.#pending.delete(streamId);
    }
  }

  close(): void {
    this.#fail(undefined);
    this.duplex.destroy();
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

  #fail(cause: Error | undefined): void {
    this.#isClosed = true;
    for (const call of this.#pending.values()) call.reject(closedError(cause));
    this.#pending.clear();
  }
}

function closedError(cause?: Error): TtrpcError {
  return new TtrpcError(StatusCode.UNAVAILABLE, "ttrpc: closed", [], cause === undefined ? {} : { cause });
}

function cancelled(service: string, method: string, cause: unknown): TtrpcError {
  return new TtrpcError(StatusCode.CANCELLED, `${service}/${method}: cancelled`, [], { cause });
}
