/** Bytes before each payload: u32be length, u32be stream id, u8 type, u8 flags. */
export const FRAME_HEADER_BYTES = 10;
/** Longest payload that either side may send. */
export const MAX_PAYLOAD_BYTES = 4 * 1024 * 1024;

export const FrameType = { REQUEST: 1, RESPONSE: 2, DATA: 3 } as const;

export const FrameFlag = { REMOTE_CLOSED: 0x1, REMOTE_OPEN: 0x2, NO_DATA: 0x4 } as const;

/** One message of the wire. A frame whose payload was longer than allowed has `oversizeBytes` set and no payload. */
export interface Frame {
  readonly streamId: number;
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  readonly oversizeBytes?: number;
}

/**
 * @throws RangeError if `payload` is longer than {@link MAX_PAYLOAD_BYTES}
 */
export function encodeFrame(streamId: number, type: number, payload: Uint8Array, flags = 0): Buffer {
  if (payload.length > MAX_PAYLOAD_BYTES) {
    throw new RangeError(`a payload of ${payload.length} bytes is over the limit of ${MAX_PAYLOAD_BYTES}`);
  }
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  frame.writeUInt32BE(streamId, 4);
  frame.writeUInt8(type, 8);
  frame.writeUInt8(flags, 9);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/**
 * Cuts a byte stream into frames, whatever the chunks it comes in. It holds at most one payload. The bytes of a payload over the
 * limit are counted and dropped, so that the stream goes on behind them.
 */
export class FrameDecoder {
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #payload: Buffer | undefined;
  #payloadBytes = 0;
  #skipBytes = 0;

  constructor(private readonly maxPayloadBytes = MAX_PAYLOAD_BYTES) {}

  /** Takes the next bytes of the stream and yields each frame that they complete. */
  *push(chunk: Uint8Array): Generator<Frame> {
    let offset = 0;
    while (offset < chunk.length || this.#isComplete()) {
      if (this.#headerBytes < FRAME_HEADER_BYTES) {
        const taken = Math.min(FRAME_HEADER_BYTES - this.#headerBytes, chunk.length - offset);
        this.#header.set(chunk.subarray(offset, offset + taken), this.#headerBytes);
        this.#headerBytes += taken;
        offset += taken;
        if (this.#headerBytes === FRAME_HEADER_BYTES) this.#begin();
      } else if (this.#skipBytes > 0) {
        const taken = Math.min(this.#skipBytes, chunk.length - offset);
        this.#skipBytes -= taken;
        offset += taken;
      } else if (this.#payload !== undefined && this.#payloadBytes < this.#payload.length) {
        const taken = Math.min(this.#payload.length - this.#payloadBytes, chunk.length - offset);
        this.#payload.set(chunk.subarray(offset, offset + taken), this.#payloadBytes);
        this.#payloadBytes += taken;
        offset += taken;
      }
      if (this.#isComplete()) yield this.#finish();
    }
  }

  /** True in the middle of a frame: the stream must not end here. */
  get isPartial(): boolean {
    return this.#headerBytes > 0;
  }

  #begin(): void {
    const lengthBytes = this.#header.readUInt32BE(0);
    this.#payloadBytes = 0;
    if (lengthBytes > this.maxPayloadBytes) this.#skipBytes = lengthBytes;
    else this.#payload = Buffer.allocUnsafe(lengthBytes);
  }

  #isComplete(): boolean {
    if (this.#headerBytes < FRAME_HEADER_BYTES || this.#skipBytes > 0) return false;
    return this.#payload === undefined || this.#payloadBytes === this.#payload.length;
  }

  #finish(): Frame {
    const frame = {
      streamId: this.#header.readUInt32BE(4),
      type: this.#header.readUInt8(8),
      flags: this.#header.readUInt8(9),
    };
    const payload = this.#payload;
    this.#headerBytes = 0;
    this.#payload = undefined;
    if (payload !== undefined) return { ...frame, payload };
    return { ...frame, payload: new Uint8Array(0), oversizeBytes: this.#header.readUInt32BE(0) };
  }
}
