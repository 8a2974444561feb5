import type { Duplex } from "node:stream";
import { decodeRequest, encodeReply, encodeStatus, type RequestEnvelope } from "./envelope.js";
import { TtrpcError } from "./error.js";
import { encodeFrame, type Frame, FrameDecoder, FrameFlag, FrameType, MAX_PAYLOAD_BYTES } from "./frame.js";
import type { CallContext, ErrorObserver, ServiceTable, UnaryHandler } from "./handler.js";
import { StatusCode } from "./status.js";
import { startTimer } from "./timer.js";

/**
 * No more requests are read while this many bytes of answers wait to be sent. It is far more than a stream's own mark, since a
 * client may write all its requests before it reads the first answer.
 */
const UNSENT_BYTES_MAX = 16 * MAX_PAYLOAD_BYTES;

/** What is left of an error's text that does not fit a frame. */
const STATUS_TEXT_MAX_CHARACTERS = 4096;

/** The serving side of one connection. */
export class ServerConnection {
  /** Resolves once the stream is closed, whoever closed it. */
  readonly gone: Promise<void>;
  readonly #decoder = new FrameDecoder();
  /** One for each call under way. (AbortSignal.any on one signal of the connection would keep a little of each call until its end.) */
  readonly #calls = new Set<AbortController>();
  readonly #running = new Set<Promise<void>>();
  #lastStreamId = -1;
  #isClosing = false;

  constructor(
    private readonly duplex: Duplex,
    private readonly services: ServiceTable,
    private readonly onError: ErrorObserver = () => {},
  ) {
    this.gone = new Promise((resolve) => {
      if (duplex.closed) resolve();
      duplex.once("close", () => {
        for (const call of this.#calls) call.abort(new Error("the connection is gone"));
        resolve();
      });
    });
    // Whatever broke the connection, "close" follows, and each caller learns it on its own side.
    duplex.on("error", () => {});
    duplex.once("end", () => duplex.end());
    duplex.on("data", (chunk: Buffer) => {
      for (const frame of this.#decoder.push(chunk)) this.#receive(frame);
      if (duplex.writableLength > UNSENT_BYTES_MAX) {
        duplex.pause();
        duplex.once("drain", () => duplex.resume());
      }
    });
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.race([Promise.allSettled(this.#running), this.gone]);
    await new Promise<void>((resolve) => {
      if (this.duplex.destroyed) resolve();
      else this.duplex.end(() => resolve());
    });
    this.duplex.destroy();
  }

  #receive(frame: Frame): void {
    const { streamId } = frame;
    if (frame.type !== FrameType.REQUEST) {
      // Data belongs to a stream, and no method here has streams; a peer has no business with responses.
      if (frame.type === FrameType.DATA && (frame.flags & FrameFlag.REMOTE_CLOSED) === 0) {
        this.#sendStatus(streamId, new TtrpcError(StatusCode.UNIMPLEMENTED, "streams are not served here"));
      }
      return;
    }
    const refusal = this.#refusal(frame);
    if (refusal !== undefined) {
      this.#sendStatus(streamId, refusal);
      return;
    }
    let request: RequestEnvelope;
    try {
      request = decodeRequest(frame.payload);
    } catch (cause) {
      const text = "the request cannot be decoded";
      this.#sendStatus(streamId, new TtrpcError(StatusCode.INVALID_ARGUMENT, text, [], { cause }));
      return;
    }
    const running = this.#serve(streamId, request);
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
  }

  #refusal(frame: Frame): TtrpcError | undefined {
    const { streamId, oversizeBytes } = frame;
    if (streamId % 2 === 0) {
      return new TtrpcError(StatusCode.INVALID_ARGUMENT, `stream id ${streamId} is even`);
    }
    if (streamId <= this.#lastStreamId) {
      return new TtrpcError(StatusCode.INVALID_ARGUMENT, `stream id ${streamId} has been used before`);
    }
    this.#lastStreamId = streamId;
    if (oversizeBytes !== undefined) {
      const text = `the request has ${oversizeBytes} bytes, over the limit of ${MAX_PAYLOAD_BYTES}`;
      return new TtrpcError(StatusCode.RESOURCE_EXHAUSTED, text);
    }
    if (this.#isClosing) return new TtrpcError(StatusCode.UNAVAILABLE, "the server is closing");
    return undefined;
  }

  async #serve(streamId: number, request: RequestEnvelope): Promise<void> {
    const { service, method, metadata, timeoutMs } = request;
    const call = new AbortController();
    const context: CallContext = {
      service,
      method,
      metadata,
      signal: call.signal,
      ...(timeoutMs === 0 ? {} : { deadlineMs: Date.now() + timeoutMs }),
    };
    this.#calls.add(call);
    let stopTimer: (() => void) | undefined;
    try {
      if (timeoutMs < 0) throw deadlineExceeded(request);
      const expired = new Promise<never>((_, reject) => {
        if (timeoutMs === 0) return;
        stopTimer = startTimer(timeoutMs, () => {
          const error = deadlineExceeded(request);
          reject(error);
          call.abort(error);
        });
      });
      const answer = this.#handler(service, method)(request.payload, context);
      this.#sendReply(streamId, await Promise.race([answer, expired]));
    } catch (error) {
      this.onError(error, context);
      this.#sendStatus(streamId, TtrpcError.from(error));
    } finally {
      stopTimer?.();
      this.#calls.delete(call);
    }
  }

  #handler(service: string, method: string): UnaryHandler {
    const methods = Object.hasOwn(this.services, service) ? this.services[service] : undefined;
    if (methods === undefined) {
      throw new TtrpcError(StatusCode.UNIMPLEMENTED, `unknown service ${service}`);
    }
    const handler = Object.hasOwn(methods, method) ? methods[method] : undefined;
    if (handler === undefined) {
      throw new TtrpcError(StatusCode.UNIMPLEMENTED, `unknown method ${service}/${method}`);
    }
    return handler;
  }

  #sendReply(streamId: number, payload: Uint8Array): void {
    const message = encodeReply(payload);
    if (message.length > MAX_PAYLOAD_BYTES) {
      const text = `the reply has ${message.length} bytes, over the limit of ${MAX_PAYLOAD_BYTES}`;
      throw new TtrpcError(StatusCode.RESOURCE_EXHAUSTED, text);
    }
    this.#send(streamId, message);
  }

  /** Sends a status; of one that does not fit a frame the beginning of its text. */
  #sendStatus(streamId: number, error: TtrpcError): void {
    const message = encodeStatus(error);
    if (message.length <= MAX_PAYLOAD_BYTES) this.#send(streamId, message);
    else {
      const text = `${error.rawMessage.slice(0, STATUS_TEXT_MAX_CHARACTERS)}…`;
      this.#send(streamId, encodeStatus(new TtrpcError(error.code, text)));
    }
  }

  #send(streamId: number, message: Uint8Array): void {
    if (this.duplex.writable) this.duplex.write(encodeFrame(streamId, FrameType.RESPONSE, message));
  }
}

function deadlineExceeded({ service, method, timeoutMs }: RequestEnvelope): TtrpcError {
  return new TtrpcError(
    StatusCode.DEADLINE_EXCEEDED,
    `${service}/${method}: not done within ${timeoutMs} ms`,
  );
}
