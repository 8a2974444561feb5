/** Requests of the front end (vhost-user specification, "Front-end message types"). */
export const VhostUserRequest = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_LOG_BASE: 6,
  SET_LOG_FD: 7,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
  GET_SHMEM_CONFIG: 44,
} as const;

/** Requests of the back end ("Back-end message types"). */
export const VhostUserBackendRequest = { SHMEM_MAP: 9, SHMEM_UNMAP: 10 } as const;

/** Bits of GET_PROTOCOL_FEATURES. */
export const VhostUserProtocolFeature = {
  MQ: 0,
  REPLY_ACK: 3,
  BACKEND_REQ: 5,
  CONFIG: 9,
  BACKEND_SEND_FD: 10,
  RESET_DEVICE: 13,
  CONFIGURE_MEM_SLOTS: 15,
  SHMEM_MAP: 22,
} as const;

/** Feature bits that are the transport's and not the device's. */
export const VHOST_USER_F_PROTOCOL_FEATURES = 30;
export const VIRTIO_RING_F_INDIRECT_DESC = 28;
export const VIRTIO_RING_F_EVENT_IDX = 29;
export const VIRTIO_F_VERSION_1 = 32;

export const HEADER_BYTES = 12;
/** Longer payloads than any that a back end takes are refused. */
export const PAYLOAD_BYTES_MAX = 4096;
const VERSION = 1;
const VERSION_MASK = 0x3;
const FLAG_REPLY = 0x4;
const FLAG_NEED_REPLY = 0x8;

/** Regions that SHMEM_MAP may be about, and the size of the reply to GET_SHMEM_CONFIG. */
const SHMEM_REGIONS_MAX = 256;
/** Regions in SET_MEM_TABLE. */
const MEM_TABLE_REGIONS_MAX = 8;
/** Bits of the u64 that comes with SET_VRING_KICK, CALL and ERR. */
const VRING_INDEX_MASK = 0xff;
const VRING_NO_FD = 0x100;

/** A message that cannot be, or one that the front end answers with a failure. */
export class VhostUserError extends Error {
  override readonly name = "VhostUserError";
}

export interface MessageHeader {
  readonly request: number;
  readonly isReply: boolean;
  readonly needReply: boolean;
  readonly payloadBytes: number;
}

/** u32 request, u32 flags, u32 payload size. @throws VhostUserError */
export function decodeHeader(view: DataView): MessageHeader {
  const request = view.getUint32(0, true);
  const flags = view.getUint32(4, true);
  const payloadBytes = view.getUint32(8, true);
  if ((flags & VERSION_MASK) !== VERSION) {
    throw new VhostUserError(`message ${request} is of version ${flags & VERSION_MASK}`);
  }
  if (payloadBytes > PAYLOAD_BYTES_MAX) {
    throw new VhostUserError(
      `message ${request} has ${payloadBytes} bytes, over the limit of ${PAYLOAD_BYTES_MAX}`,
    );
  }
  return {
    request,
    isReply: (flags & FLAG_REPLY) !== 0,
    needReply: (flags & FLAG_NEED_REPLY) !== 0,
    payloadBytes,
  };
}

/** A whole message. `kind` says whether it is a request, one that wants an answer, or an answer. */
export function encodeMessage(
  request: number,
  kind: "request" | "request-needing-reply" | "reply",
  payload: Uint8Array,
): Buffer {
  const message = Buffer.alloc(HEADER_BYTES + payload.length);
  const flag = { request: 0, "request-needing-reply": FLAG_NEED_REPLY, reply: FLAG_REPLY }[kind];
  message.writeUInt32LE(request, 0);
  message.writeUInt32LE(VERSION | flag, 4);
  message.writeUInt32LE(payload.length, 8);
  message.set(payload, HEADER_BYTES);
  return message;
}

/** Reads the payload of one message, field by field, checking its length first. */
export class Payload {
  readonly #view: DataView;

  /** @throws VhostUserError if the payload is shorter than `bytesMin` */
  constructor(
    private readonly request: number,
    bytes: Uint8Array,
    bytesMin: number,
  ) {
    if (bytes.length < bytesMin) {
      throw new VhostUserError(`message ${request} has ${bytes.length} bytes, needed are ${bytesMin}`);
    }
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  u64(offset: number): bigint {
    return this.#view.getBigUint64(offset, true);
  }

  /** A u64 that is an address, an offset or a size. @throws VhostUserError if it has more than 53 bits */
  size(offset: number): number {
    const value = this.u64(offset);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new VhostUserError(`message ${this.request} has the number ${value} at offset ${offset}`);
    }
    return Number(value);
  }
}

export function u64Payload(value: bigint | number): Uint8Array {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(BigInt(value));
  return payload;
}

/** Reply to GET_VRING_BASE. */
export function vringStatePayload(index: number, value: number): Uint8Array {
  const payload = Buffer.alloc(8);
  payload.writeUInt32LE(index, 0);
  payload.writeUInt32LE(value, 4);
  return payload;
}

export interface MemoryRegionFields {
  readonly guestAddress: number;
  readonly sizeBytes: number;
  readonly userAddress: number;
  readonly mmapOffset: number;
}

/** ADD_MEM_REG and REM_MEM_REG: u64 padding, then one region. @throws VhostUserError */
export function decodeMemoryRegion(request: number, bytes: Uint8Array): MemoryRegionFields {
  return regionAt(new Payload(request, bytes, 40), 8);
}

/** SET_MEM_TABLE: u32 count, u32 padding, then the regions. @throws VhostUserError */
export function decodeMemoryTable(bytes: Uint8Array): MemoryRegionFields[] {
  const request = VhostUserRequest.SET_MEM_TABLE;
  const count = new Payload(request, bytes, 8).u32(0);
  if (count > MEM_TABLE_REGIONS_MAX) throw new VhostUserError(`a memory table of ${count} regions`);
  const payload = new Payload(request, bytes, 8 + 32 * count);
  return Array.from({ length: count }, (_, index) => regionAt(payload, 8 + 32 * index));
}

function regionAt(payload: Payload, offset: number): MemoryRegionFields {
  return {
    guestAddress: payload.size(offset),
    sizeBytes: payload.size(offset + 8),
    userAddress: payload.size(offset + 16),
    mmapOffset: payload.size(offset + 24),
  };
}

/** SET_VRING_ADDR: u32 index, u32 flags, u64 descriptor, used, available and log address. @throws VhostUserError */
export function decodeVringAddress(bytes: Uint8Array) {
  const payload = new Payload(VhostUserRequest.SET_VRING_ADDR, bytes, 40);
  return {
    index: payload.u32(0),
    descriptorAddress: payload.size(8),
    usedAddress: payload.size(16),
    availAddress: payload.size(24),
  };
}

/** SET_VRING_KICK, CALL and ERR. @throws VhostUserError */
export function decodeVringFd(request: number, bytes: Uint8Array) {
  const value = Number(new Payload(request, bytes, 8).u64(0) & 0xffffn);
  return { index: value & VRING_INDEX_MASK, hasFd: (value & VRING_NO_FD) === 0 };
}

/** GET_CONFIG and SET_CONFIG: u32 offset, u32 size, u32 flags, bytes. @throws VhostUserError */
export function decodeConfigRange(request: number, bytes: Uint8Array) {
  const payload = new Payload(request, bytes, 12);
  return { offset: payload.u32(0), sizeBytes: payload.u32(4) };
}

/** Reply to GET_SHMEM_CONFIG: u32 number of regions that are not empty, u32 padding, u64 size of each region by shmid. */
export function shmemConfigPayload(sizesBytes: readonly number[]): Uint8Array {
  const payload = Buffer.alloc(8 + 8 * SHMEM_REGIONS_MAX);
  payload.writeUInt32LE(sizesBytes.filter((size) => size > 0).length, 0);
  for (const [shmid, size] of sizesBytes.entries()) payload.writeBigUInt64LE(BigInt(size), 8 + 8 * shmid);
  return payload;
}

/** SHMEM_MAP and SHMEM_UNMAP: u8 shmid, 7 bytes padding, u64 fd offset, u64 offset in the region, u64 length, u64 flags (1: writable). */
export function shmemPayload(
  fdOffset: number,
  shmOffset: number,
  lengthBytes: number,
  writable: boolean,
): Uint8Array {
  const payload = Buffer.alloc(40);
  payload.writeBigUInt64LE(BigInt(fdOffset), 8);
  payload.writeBigUInt64LE(BigInt(shmOffset), 16);
  payload.writeBigUInt64LE(BigInt(lengthBytes), 24);
  payload.writeBigUInt64LE(writable ? 1n : 0n, 32);
  return payload;
}
