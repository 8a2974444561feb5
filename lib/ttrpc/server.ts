import type { Duplex } from "node:stream";
import { decodeRequest, encodeReply, encodeStatus, type RequestEnvelope } from "./envelope.js";
import { TtrpcError } from "./error.js";
import { encodeFrame, type Frame, FrameDecoder, FrameFlag, FrameType, MAX_PAYLOAD_BYTES } from "./frame.js";
import { StatusCode } from "./status.js";

/** What a handler may know of its call. */
export interface CallContext {
  readonly service: string;
  readonly method: string;
  readonly metadata: ReadonlyMap<string, string>;
  /** Aborted when the deadline has passed or the connection is gone: nobody reads the answer then. */
  readonly signal: AbortSignal;
  /** By Date.now(); absent when the caller waits for ever. */
  readonly deadlineMs?: number;
}

/** Answers one call with the reply's payload. What it throws goes to the caller by {@link TtrpcError.from}. */
export type UnaryHandler = (payload: Uint8Array, context: CallContext) => Promise<Uint8Array>;

/** Handlers by service ("containerd.task.v2.Task") and method ("Create"). */
export type ServiceTable = Readonly<Record<string, Readonly<Record<string, UnaryHandler>>>>;

export interface ServerOptions {
  readonly services: ServiceTable;
  /** Sees each failed call before the caller does. */
  readonly onError?: (error: unknown, context: CallContext) => void;
  /** Sees the number of connections each time it changes. */
  readonly onConnections?: (count: number) => void;
}

export interface TtrpcServer {
  /** Serves a connection until it ends. The stream belongs to the server from now on. */
  handle(duplex: Duplex): void;
  readonly connections: number;
  /** Takes no further calls, lets those under way answer, and ends all connections. */
  close(): Promise<void>;
}

export function createServer(options: ServerOptions): TtrpcServer {
  return new Server(options);
}

class Server implements TtrpcServer {
  readonly #connections = new Set<Connection>();

  constructor(private readonly options: ServerOptions) {}

  get connections(): number {
    return this.#connections.size;
  }

  handle(duplex: Duplex): void {
    const connection = new Connection(duplex, this.options);
    this.#connections.add(connection);
    this.options.onConnections?.(this.#connections.size);
    duplex.once("close", () => {
      this.#connections.delete(connection);
      this.options.onConnections?.(this.#connections.size);
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.close()));
  }
}

/** Unread requests wait in the socket, not in memory, while this many answers' bytes wait to be sent. */
const UNSENT_BYTES_MAX = 16 * MAX_PAYLOAD_BYTES;

class Connection {
  readonly #decoder = new FrameDecoder();
  readonly #gone = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #lastStreamId = -1;
  #isClosing = false;

  constructor(
    private readonly duplex: Duplex,
    private readonly options: ServerOptions,
  ) {
    duplex.on("data", (chunk: Buffer) => {
      for (const frame of this.#decoder.push(chunk)) this.#receive(frame);
      if (duplex.writableLength > UNSENT_BYTES_MAX) {
        duplex.pause();
        duplex.once("drain", () => duplex.resume());
      }
    });
    // Whatever broke the connection, "close" follows, and each caller learns it on its own side.
    duplex.on("error", () => {});
    duplex.once("end", () => duplex.end());
    duplex.once("close", () => this.#gone.abort());
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.allSettled(this.#running);
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
      const error = new TtrpcError(StatusCode.INVALID_ARGUMENT, "the request cannot be decoded", [], {
        cause,
      });
      this.#sendStatus(streamId, error);
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
    const deadline = new AbortController();
    const signal = AbortSignal.any([this.#gone.signal, deadline.signal]);
    const context: CallContext = {
      service,
      method,
      metadata,
      signal,
      ...(timeoutMs > 0 ? { deadlineMs: Date.now() + timeoutMs } : {}),
    };
    let timer: NodeJS.Timeout | undefined;
    try {
      const handler = this.#handler(service, method);
      const answers = [handler(request.payload, context)];
      if (timeoutMs > 0) {
        answers.push(
          new Promise((_, reject) => {
            timer = setTimeout(
              () => {
                const text = `${service}/${method}: not done within ${timeoutMs} ms`;
                reject(new TtrpcError(StatusCode.DEADLINE_EXCEEDED, text));
                deadline.abort();
              },
              Math.min(timeoutMs, 0x7fff_ffff),
            );
          }),
        );
      }
      this.#sendReply(streamId, await Promise.race(answers));
    } catch (error) {
      this.options.onError?.(error, context);
      this.#sendStatus(streamId, TtrpcError.from(error));
    } finally {
      clearTimeout(timer);
    }
  }

  #handler(service: string, method: string): UnaryHandler {
    const { services } = this.options;
    const methods = Object.hasOwn(services, service) ? services[service] : undefined;
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

  #sendStatus(streamId: number, error: TtrpcError): void {
    this.#send(streamId, encodeStatus(error));
  }

  #send(streamId: number, message: Uint8Array): void {
    if (this.duplex.writable) this.duplex.write(encodeFrame(streamId, FrameType.RESPONSE, message));
  }
}
