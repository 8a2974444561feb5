import { TtrpcError } from "./error.js";
import { MessageWriter, readFields } from "./protobuf.js";
import { StatusCode } from "./status.js";

/** Payload of a request frame: service = 1, method = 2, payload = 3, timeout_nano = 4, metadata = 5. */
export interface RequestEnvelope {
  readonly service: string;
  readonly method: string;
  readonly payload: Uint8Array;
  /** How long the caller waits: 0 means for ever, less means that it has given up already. */
  readonly timeoutMs: number;
  readonly metadata: ReadonlyMap<string, string>;
}

const NANOSECONDS_PER_MS = 1e6;
/** timeout_nano is an int64; 292 years and more are for ever. */
const TIMEOUT_MAX_MS = 2 ** 63 / NANOSECONDS_PER_MS;
const EMPTY: Uint8Array = new Uint8Array(0);

export function encodeRequest(request: RequestEnvelope): Buffer {
  const writer = new MessageWriter()
    .string(1, request.service)
    .string(2, request.method)
    .bytes(3, request.payload)
    .varint(4, timeoutNano(request.timeoutMs));
  for (const [key, value] of request.metadata) {
    writer.bytes(5, new MessageWriter().string(1, key).string(2, value).finish());
  }
  return writer.finish();
}

/** @throws MalformedMessageError */
export function decodeRequest(message: Uint8Array): RequestEnvelope {
  let service = "";
  let method = "";
  let payload = EMPTY;
  let timeoutMs = 0;
  const metadata = new Map<string, string>();
  for (const { number, value, bytes } of readFields(message)) {
    if (number === 1 && bytes) service = text(bytes);
    else if (number === 2 && bytes) method = text(bytes);
    else if (number === 3 && bytes) payload = bytes;
    else if (number === 4 && value !== undefined) timeoutMs = value / NANOSECONDS_PER_MS;
    else if (number === 5 && bytes) {
      const [key, entry] = decodeKeyValue(bytes);
      metadata.set(key, entry);
    }
  }
  return { service, method, payload, timeoutMs, metadata };
}

/** Payload of a response frame without an error: payload = 2, present even when it is empty. */
export function encodeReply(payload: Uint8Array): Buffer {
  return new MessageWriter().bytes(2, payload).finish();
}

/**
 * Payload of a response frame with status = 1: google.rpc.Status {code = 1, message = 2, details = 3}. A code that would read as
 * success, or is no number that the wire can carry, becomes UNKNOWN.
 */
export function encodeStatus(error: TtrpcError): Buffer {
  const isFailure = error.code !== StatusCode.OK && Number.isInteger(error.code);
  const status = new MessageWriter()
    .varint(1, isFailure ? error.code : StatusCode.UNKNOWN)
    .string(2, error.rawMessage);
  for (const detail of error.details) status.bytes(3, detail);
  return new MessageWriter().bytes(1, status.finish()).finish();
}

/**
 * The payload of a reply, or the status that came instead.
 * @throws MalformedMessageError
 */
export function decodeReply(message: Uint8Array): Uint8Array | TtrpcError {
  let payload = EMPTY;
  for (const { number, bytes } of readFields(message)) {
    if (number === 1 && bytes) {
      const error = decodeStatus(bytes);
      if (error.code !== StatusCode.OK) return error;
    } else if (number === 2 && bytes) payload = bytes;
  }
  return payload;
}

/** A wait that is shorter than a nanosecond must not become one for ever. */
function timeoutNano(timeoutMs: number): number {
  if (timeoutMs === 0 || timeoutMs >= TIMEOUT_MAX_MS) return 0;
  return Math.round(timeoutMs * NANOSECONDS_PER_MS) || 1;
}

function decodeStatus(message: Uint8Array): TtrpcError {
  let code: number = StatusCode.OK;
  let rawMessage = "";
  const details: Uint8Array[] = [];
  for (const { number, value, bytes } of readFields(message)) {
    if (number === 1 && value !== undefined) code = value;
    else if (number === 2 && bytes) rawMessage = text(bytes);
    else if (number === 3 && bytes) details.push(bytes);
  }
  return new TtrpcError(code, rawMessage, details);
}

function decodeKeyValue(message: Uint8Array): readonly [string, string] {
  let key = "";
  let entry = "";
  for (const { number, bytes } of readFields(message)) {
    if (number === 1 && bytes) key = text(bytes);
    else if (number === 2 && bytes) entry = text(bytes);
  }
  return [key, entry];
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
