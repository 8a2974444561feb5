/** Wire types of protobuf, as far as ttrpc's own messages use them. */
const WIRE_VARINT = 0;
const WIRE_FIXED64 = 1;
const WIRE_BYTES = 2;
const WIRE_FIXED32 = 5;

const VARINT_BYTES_MAX = 10;

/** A message that is not protobuf. */
export class MalformedMessageError extends Error {
  override readonly name = "MalformedMessageError";
}

/** One field of a message: `value` for varints, `bytes` for length-delimited fields. */
export type Field =
  | { readonly number: number; readonly value: number; readonly bytes?: never }
  | { readonly number: number; readonly bytes: Uint8Array; readonly value?: never };

/**
 * The fields of a message, in order; fixed-width ones, which ttrpc's messages do not have, are passed over. A varint of more
 * than 53 bits loses its lowest ones; a negative int64 comes out as such.
 *
 * @throws MalformedMessageError
 */
export function* readFields(message: Uint8Array): Generator<Field> {
  const reader = new Reader(message);
  while (!reader.atEnd) {
    const tag = reader.varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case WIRE_VARINT:
        yield { number, value: reader.varint() };
        break;
      case WIRE_BYTES:
        yield { number, bytes: reader.bytes(reader.varint()) };
        break;
      case WIRE_FIXED64:
        reader.bytes(8);
        break;
      case WIRE_FIXED32:
        reader.bytes(4);
        break;
      default:
        throw new MalformedMessageError(`field ${number} has the wire type ${tag % 8}`);
    }
  }
}

class Reader {
  #offset = 0;

  constructor(private readonly message: Uint8Array) {}

  get atEnd(): boolean {
    return this.#offset >= this.message.length;
  }

  varint(): number {
    let low = 0n;
    for (let index = 0; index < VARINT_BYTES_MAX; index++) {
      const byte = this.message[this.#offset++];
      if (byte === undefined) throw new MalformedMessageError("the message ends within a number");
      low |= BigInt(byte & 0x7f) << BigInt(7 * index);
      if (byte < 0x80) return Number(BigInt.asIntN(64, low));
    }
    throw new MalformedMessageError(`a number is longer than ${VARINT_BYTES_MAX} bytes`);
  }

  bytes(length: number): Uint8Array {
    if (length < 0 || length > this.message.length - this.#offset) {
      throw new MalformedMessageError(`a field of ${length} bytes reaches past the message's end`);
    }
    this.#offset += length;
    return this.message.subarray(this.#offset - length, this.#offset);
  }
}

/** Builds a message field by field. */
export class MessageWriter {
  readonly #parts: Uint8Array[] = [];

  /** Writes a non-negative or int64 number; 0 is left out, as proto3 has it. */
  varint(number: number, value: number): this {
    if (value === 0) return this;
    this.#parts.push(encodeVarint(number * 8 + WIRE_VARINT), encodeVarint(value));
    return this;
  }

  /** Writes a length-delimited field, even an empty one. */
  bytes(number: number, bytes: Uint8Array): this {
    this.#parts.push(encodeVarint(number * 8 + WIRE_BYTES), encodeVarint(bytes.length), bytes);
    return this;
  }

  /** Writes a string; an empty one is left out. */
  string(number: number, text: string): this {
    return text === "" ? this : this.bytes(number, Buffer.from(text, "utf8"));
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function encodeVarint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
