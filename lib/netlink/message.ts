/** A netlink message that is no such, or an answer of the kernel that this code does not understand. */
export class NetlinkFormatError extends Error {
  override readonly name = "NetlinkFormatError";
}

/** Of include/uapi/linux/netlink.h. */
export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

/** struct nlmsghdr: u32 length, u16 type, u16 flags, u32 sequence, u32 port id. */
const HEADER_BYTES = 16;
/** struct nlattr: u16 length with the header, u16 type. */
const ATTRIBUTE_HEADER_BYTES = 4;
/** The upper bits of an attribute's type are flags: nested, and in network byte order. */
const ATTRIBUTE_TYPE_MASK = 0x3fff;
const ALIGNMENT = 4;

/** A message without its header: what `type` says, and then attributes. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Buffer;
}

/** An attribute to be sent: its type, and its bytes or the attributes that are nested in it. */
export type Attribute = readonly [type: number, value: Uint8Array | readonly Attribute[]];

/** @returns the bytes of one message, padded */
export function encodeMessage(
  { type, flags, sequence }: Omit<NetlinkMessage, "payload">,
  body: Uint8Array,
  attributes: readonly Attribute[] = [],
): Buffer {
  const payload = Buffer.concat([padded(body), ...attributes.map(encodeAttribute)]);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + payload.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(sequence, 8);
  return Buffer.concat([header, payload]);
}

/** The messages in what one recv(2) gave. @throws NetlinkFormatError */
export function decodeMessages(bytes: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    if (bytes.length - offset < HEADER_BYTES)
      throw new NetlinkFormatError(`${bytes.length - offset} bytes are no message`);
    const length = bytes.readUInt32LE(offset);
    if (length < HEADER_BYTES || length > bytes.length - offset)
      throw new NetlinkFormatError(`a message of ${length} bytes in ${bytes.length - offset}`);
    messages.push({
      type: bytes.readUInt16LE(offset + 4),
      flags: bytes.readUInt16LE(offset + 6),
      sequence: bytes.readUInt32LE(offset + 8),
      payload: bytes.subarray(offset + HEADER_BYTES, offset + length),
    });
    offset += aligned(length);
  }
  return messages;
}

/** The attributes of a message behind its body, or of an attribute that nests others; of a type the last one counts. @throws NetlinkFormatError */
export function decodeAttributes(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let offset = 0; offset < bytes.length; ) {
    const left = bytes.length - offset;
    const length = left < ATTRIBUTE_HEADER_BYTES ? 0 : bytes.readUInt16LE(offset);
    if (length < ATTRIBUTE_HEADER_BYTES || length > left)
      throw new NetlinkFormatError(`an attribute of ${length} bytes in ${left}`);
    const type = bytes.readUInt16LE(offset + 2) & ATTRIBUTE_TYPE_MASK;
    attributes.set(type, bytes.subarray(offset + ATTRIBUTE_HEADER_BYTES, offset + length));
    offset += aligned(length);
  }
  return attributes;
}

/** What NLMSG_ERROR carries: 0 for success, otherwise the errno. @throws NetlinkFormatError */
export function decodeError({ payload }: NetlinkMessage): number {
  if (payload.length < 4) throw new NetlinkFormatError(`an acknowledgement of ${payload.length} bytes`);
  return Math.abs(payload.readInt32LE(0));
}

/** A text attribute, with the NUL that the kernel wants. */
export function textAttribute(type: number, text: string): Attribute {
  return [type, Buffer.from(`${text}\0`, "latin1")];
}

export function uint32Attribute(type: number, value: number): Attribute {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return [type, bytes];
}

/** Up to the first NUL. */
export function textOf(value: Buffer | undefined): string {
  if (value === undefined) return "";
  const end = value.indexOf(0);
  return value.toString("latin1", 0, end < 0 ? value.length : end);
}

/** 0 without the attribute. @throws NetlinkFormatError */
export function uint32Of(value: Buffer | undefined): number {
  if (value === undefined) return 0;
  if (value.length < 4) throw new NetlinkFormatError(`a number of ${value.length} bytes`);
  return value.readUInt32LE(0);
}

function encodeAttribute([type, value]: Attribute): Buffer {
  const bytes = value instanceof Uint8Array ? value : Buffer.concat(value.map(encodeAttribute));
  const header = Buffer.alloc(ATTRIBUTE_HEADER_BYTES);
  header.writeUInt16LE(ATTRIBUTE_HEADER_BYTES + bytes.length, 0);
  header.writeUInt16LE(type, 2);
  return Buffer.concat([header, padded(bytes)]);
}

function padded(bytes: Uint8Array): Buffer {
  const result = Buffer.alloc(aligned(bytes.length));
  result.set(bytes);
  return result;
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}
