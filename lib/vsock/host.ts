import type { SegmentList } from "../virtio/segment-list.js";
import {
  emptyHeader,
  encodeHeader,
  HEADER_BYTES,
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_HOST,
  type VsockHeader,
  VsockOp,
} from "./packet.js";
import { BUF_ALLOC_BYTES, type StreamOutput, VsockError, VsockStream } from "./stream.js";

/** Takes connections that the guest makes; false refuses one. */
export type AcceptConnection = (port: number, stream: VsockStream) => boolean;

/** Answers that wait for the guest to give buffers. A guest that gives none is not listened to any more beyond this. */
const CONTROL_PACKETS_MAX = 1024;
const CONNECTIONS_MAX = 1024;
/** Ports of the host for connections to the guest: above those that a guest may be listened for at. */
const FIRST_EPHEMERAL_PORT = 0x4000_0000;

interface ControlPacket {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly op: number;
  readonly flags: number;
  readonly stream: VsockStream | undefined;
}

interface Connecting {
  readonly stream: VsockStream;
  resolve(stream: VsockStream): void;
  reject(error: VsockError): void;
}

/**
 * The host as the guest sees it over vsock: all connections, and the packets that wait for the guest. Knows nothing of rings:
 * packets come in by {@link receive} and go out by {@link send}.
 */
export class VsockHost implements StreamOutput {
  readonly #streams = new Map<string, VsockStream>();
  readonly #connecting = new Map<string, Connecting>();
  readonly #control: ControlPacket[] = [];
  /** Streams with payload, in the order of their turns. */
  readonly #ready = new Set<VsockStream>();
  readonly #header = emptyHeader();
  readonly #headerView = new DataView(new ArrayBuffer(HEADER_BYTES));
  readonly #headerBytes = new Uint8Array(this.#headerView.buffer);
  #nextPort = FIRST_EPHEMERAL_PORT;

  /**
   * @param onOutput called when there is something to {@link send}; may be called while it sends
   */
  constructor(
    private readonly guestCid: number,
    private readonly accept: AcceptConnection,
    private readonly onOutput: () => void,
  ) {}

  /** Whether the guest may be listened to: answers to it have room. */
  get hasRoom(): boolean {
    return this.#control.length < CONTROL_PACKETS_MAX;
  }

  /**
   * Connects to a port of the guest. A guest whose driver is not there yet is waited for.
   *
   * @throws VsockError ECONNREFUSED when nobody listens; ECANCELED by `signal`
   */
  connect(peerPort: number, signal?: AbortSignal): Promise<VsockStream> {
    const stream = new VsockStream(this.#freePort(peerPort), peerPort, this);
    const key = keyOf(stream.localPort, peerPort);
    return new Promise((resolve, reject) => {
      const cancel = () => {
        if (!this.#connecting.delete(key)) return;
        this.#push({
          srcPort: stream.localPort,
          dstPort: peerPort,
          op: VsockOp.RST,
          flags: 0,
          stream: undefined,
        });
        reject(new VsockError("ECANCELED", `connecting to port ${peerPort} was given up`));
      };
      if (signal?.aborted === true) {
        reject(new VsockError("ECANCELED", `connecting to port ${peerPort} was given up`));
        return;
      }
      signal?.addEventListener("abort", cancel, { once: true });
      const done = () => signal?.removeEventListener("abort", cancel);
      this.#connecting.set(key, {
        stream,
        resolve: (connected) => {
          done();
          resolve(connected);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.control(stream, VsockOp.REQUEST, 0);
    });
  }

  /** Takes a packet of the guest. `payload` belongs to the host from now on. */
  receive(header: VsockHeader, payload: Buffer): void {
    const { op, srcPort, dstPort } = header;
    const isOurs =
      header.srcCid === this.guestCid &&
      header.dstCid === VMADDR_CID_HOST &&
      header.type === VIRTIO_VSOCK_TYPE_STREAM;
    if (!isOurs) {
      if (op !== VsockOp.RST) this.#refuse(header);
      return;
    }
    const key = keyOf(dstPort, srcPort);
    const connecting = this.#connecting.get(key);
    if (connecting !== undefined) {
      this.#connecting.delete(key);
      this.#conclude(connecting, key, header);
      return;
    }
    const stream = this.#streams.get(key);
    if (stream === undefined) {
      if (op === VsockOp.REQUEST) this.#acceptRequest(header, key);
      else if (op !== VsockOp.RST) this.#refuse(header);
      return;
    }
    stream.updateCredit(header);
    switch (op) {
      case VsockOp.RW:
        stream.receive(payload);
        break;
      case VsockOp.SHUTDOWN:
        stream.receiveShutdown(header.flags);
        break;
      case VsockOp.RST:
        stream.receiveReset();
        break;
      case VsockOp.CREDIT_REQUEST:
        this.control(stream, VsockOp.CREDIT_UPDATE, 0);
        break;
      case VsockOp.CREDIT_UPDATE:
        break;
      default:
        stream.destroy(new VsockError("EPROTO", `port ${srcPort} sent the operation ${op}`));
    }
  }

  /**
   * Writes the next packet for the guest to a buffer of it.
   *
   * @param target room for a header at least
   * @returns the packet's length; 0 if there is nothing to send
   */
  send(target: SegmentList): number {
    const control = this.#control.shift();
    if (control !== undefined) {
      this.#writeHeader(target, control, 0);
      return HEADER_BYTES;
    }
    // A guest whose buffer has room for a header alone gets no payload, and its streams would take turns for ever.
    if (target.byteLength <= HEADER_BYTES) return 0;
    for (const stream of this.#ready) {
      // A stream whose payload is not all sent goes to the end of the row.
      this.#ready.delete(stream);
      const length = stream.takePayload(target, HEADER_BYTES);
      if (stream.hasPayload && stream.credit > 0) this.#ready.add(stream);
      if (length === 0) continue;
      const { localPort: srcPort, peerPort: dstPort } = stream;
      this.#writeHeader(target, { srcPort, dstPort, op: VsockOp.RW, flags: 0, stream }, length);
      return HEADER_BYTES + length;
    }
    return 0;
  }

  /** The guest's driver is gone, and with it all connections. */
  reset(reason: string): void {
    this.#control.length = 0;
    this.#ready.clear();
    for (const { reject } of this.#connecting.values()) reject(new VsockError("ECONNRESET", reason));
    this.#connecting.clear();
    for (const stream of [...this.#streams.values()]) stream.destroy(new VsockError("ECONNRESET", reason));
    this.#control.length = 0;
  }

  payloadReady(stream: VsockStream): void {
    this.#ready.add(stream);
    this.onOutput();
  }

  control(stream: VsockStream, op: number, flags: number): void {
    this.#push({ srcPort: stream.localPort, dstPort: stream.peerPort, op, flags, stream });
  }

  gone(stream: VsockStream): void {
    this.#ready.delete(stream);
    this.#streams.delete(keyOf(stream.localPort, stream.peerPort));
  }

  #conclude({ stream, resolve, reject }: Connecting, key: string, header: VsockHeader): void {
    if (header.op !== VsockOp.RESPONSE) {
      if (header.op !== VsockOp.RST) this.#refuse(header);
      reject(new VsockError("ECONNREFUSED", `nobody listens at port ${stream.peerPort} of the guest`));
      return;
    }
    stream.updateCredit(header);
    this.#streams.set(key, stream);
    resolve(stream);
  }

  #acceptRequest(header: VsockHeader, key: string): void {
    const stream = new VsockStream(header.dstPort, header.srcPort, this);
    if (this.#streams.size >= CONNECTIONS_MAX || !this.accept(header.dstPort, stream)) {
      this.#refuse(header);
      return;
    }
    this.#streams.set(key, stream);
    this.control(stream, VsockOp.RESPONSE, 0);
    stream.updateCredit(header);
  }

  #refuse({ srcPort, dstPort }: VsockHeader): void {
    this.#push({ srcPort: dstPort, dstPort: srcPort, op: VsockOp.RST, flags: 0, stream: undefined });
  }

  #push(packet: ControlPacket): void {
    this.#control.push(packet);
    this.onOutput();
  }

  #writeHeader(
    target: SegmentList,
    { srcPort, dstPort, op, flags, stream }: ControlPacket,
    len: number,
  ): void {
    const header = this.#header;
    header.srcCid = VMADDR_CID_HOST;
    header.dstCid = this.guestCid;
    header.srcPort = srcPort;
    header.dstPort = dstPort;
    header.len = len;
    header.op = op;
    header.flags = flags;
    header.bufAlloc = stream === undefined ? 0 : BUF_ALLOC_BYTES;
    header.fwdCnt = stream?.fwdCnt ?? 0;
    stream?.told();
    encodeHeader(header, this.#headerView);
    target.copyOut(0, this.#headerBytes, 0, HEADER_BYTES);
  }

  #freePort(peerPort: number): number {
    for (;;) {
      const port = this.#nextPort++;
      if (this.#nextPort > 0xffff_fffe) this.#nextPort = FIRST_EPHEMERAL_PORT;
      const key = keyOf(port, peerPort);
      if (!this.#streams.has(key) && !this.#connecting.has(key)) return port;
    }
  }
}

function keyOf(localPort: number, peerPort: number): string {
  return `${localPort}:${peerPort}`;
}
