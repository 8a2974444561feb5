/** Addresses of virtio 1.3, 5.10: the host is always 2. */
export const VMADDR_CID_HOST = 2;

/** Bytes of struct virtio_vsock_hdr. */
export const HEADER_BYTES = 44;

export const VIRTIO_VSOCK_TYPE_STREAM = 1;

/** What a packet is for. */
export const VsockOp = {
  REQUEST: 1,
  RESPONSE: 2,
  RST: 3,
  SHUTDOWN: 4,
  RW: 5,
  CREDIT_UPDATE: 6,
  CREDIT_REQUEST: 7,
} as const;

/** Flags of {@link VsockOp.SHUTDOWN}: what its sender will not do any more. */
export const SHUTDOWN_RCV = 1;
export const SHUTDOWN_SEND = 2;

/** struct virtio_vsock_hdr. Mutable, so that one object serves for all packets. */
export interface VsockHeader {
  /** Above 2^53 it comes rounded; no such address is ours. */
  srcCid: number;
  dstCid: number;
  srcPort: number;
  dstPort: number;
  /** Bytes of payload behind the header. */
  len: number;
  type: number;
  op: number;
  flags: number;
  /** Room that the sender has for what it receives, and how many bytes it has taken out of there, modulo 2^32. */
  bufAlloc: number;
  fwdCnt: number;
}

export function emptyHeader(): VsockHeader {
  return {
    srcCid: 0,
    dstCid: 0,
    srcPort: 0,
    dstPort: 0,
    len: 0,
    type: VIRTIO_VSOCK_TYPE_STREAM,
    op: 0,
    flags: 0,
    bufAlloc: 0,
    fwdCnt: 0,
  };
}

/** @param view at least {@link HEADER_BYTES} */
export function decodeHeader(view: DataView, header: VsockHeader): void {
  header.srcCid = getU64(view, 0);
  header.dstCid = getU64(view, 8);
  header.srcPort = view.getUint32(16, true);
  header.dstPort = view.getUint32(20, true);
  header.len = view.getUint32(24, true);
  header.type = view.getUint16(28, true);
  header.op = view.getUint16(30, true);
  header.flags = view.getUint32(32, true);
  header.bufAlloc = view.getUint32(36, true);
  header.fwdCnt = view.getUint32(40, true);
}

/** @param view at least {@link HEADER_BYTES} */
export function encodeHeader(header: VsockHeader, view: DataView): void {
  putU64(view, 0, header.srcCid);
  putU64(view, 8, header.dstCid);
  view.setUint32(16, header.srcPort, true);
  view.setUint32(20, header.dstPort, true);
  view.setUint32(24, header.len, true);
  view.setUint16(28, header.type, true);
  view.setUint16(30, header.op, true);
  view.setUint32(32, header.flags, true);
  view.setUint32(36, header.bufAlloc, true);
  view.setUint32(40, header.fwdCnt, true);
}

const WORD = 0x1_0000_0000;

function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * WORD;
}

function putU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % WORD, true);
  view.setUint32(offset + 4, Math.floor(value / WORD), true);
}
