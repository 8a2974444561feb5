import assert from "node:assert/strict";
import { promisify } from "node:util";
import { BufferSegments } from "../../fsd/testing/buffer-segments.js";
import { VsockHost } from "../../lib/vsock/host.js";
import {
  decodeHeader,
  emptyHeader,
  encodeHeader,
  HEADER_BYTES,
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_HOST,
  VsockOp,
} from "../../lib/vsock/packet.js";
import { BUF_ALLOC_BYTES, VsockError, type VsockStream } from "../../lib/vsock/stream.js";
import { Decisions } from "../decisions.js";
import type { FuzzTarget } from "../target.js";

const GUEST_CID = 3;
const PACKETS_MAX = 60;
/** Ports of the host at which somebody takes connections. */
const LISTENED_PORTS = [1024, 1025];
const HOST_PORTS = [1024, 1025, 9, 0x4000_0000, 0x4000_0001];
const GUEST_PORTS = [1, 2, 3, 4, 0xffff_ffff];
const OPS = Object.values(VsockOp);
/** What host.ts keeps for a guest that gives no buffers, and a packet's worth of what one packet can cause. */
const WAITING_MAX = 1024 + 8;
const SENT = Buffer.alloc(10_000, "host");
const ROOMS = [256, 0, 1, 4096];
const UNTOUCHED = Buffer.alloc(HEADER_BYTES + Math.max(...ROOMS), 0xee);

/**
 * A guest that sends packets of any kind about connections that exist and that do not, while the host connects, writes, reads and
 * gives up. Whatever comes, the host sends only within the guest's credit, and keeps only what it has promised room for.
 */
export function createVsockTarget(): FuzzTarget {
  return {
    name: "vsock",
    covers: /\/lib\/vsock\/(packet|stream|host)\.ts$/,
    run: (input) => new Guest(new Decisions(input)).run(),
    close() {},
  };
}

const turn = promisify(setImmediate);

class Guest {
  readonly #host: VsockHost;
  readonly #streams: VsockStream[] = [];
  /** Errors of others than the streams themselves. */
  readonly #unexpected: string[] = [];
  readonly #buffer = Buffer.alloc(UNTOUCHED.length);
  readonly #headerBytes = new Uint8Array(HEADER_BYTES);
  readonly #view = new DataView(this.#headerBytes.buffer);
  readonly #header = emptyHeader();
  #packets = 0;

  constructor(private readonly decisions: Decisions) {
    this.#host = new VsockHost(
      GUEST_CID,
      (port, stream) => {
        if (!LISTENED_PORTS.includes(port)) return false;
        this.#use(stream);
        return true;
      },
      () => {},
    );
  }

  async run(): Promise<number> {
    const { decisions } = this;
    while (this.#packets < PACKETS_MAX && !decisions.isOver) {
      const step = decisions.byte();
      if (step < 128) this.#sendPacket();
      else if (step < 192) this.#takePackets(decisions.below(8));
      else if (step < 224) this.#useStream();
      else this.#connect();
      // Streams tell by callbacks what came of something.
      if (decisions.happens(64)) await turn();
      for (const stream of this.#streams) {
        assert.ok(stream.readableLength <= BUF_ALLOC_BYTES, "no more is kept than was promised");
        assert.ok(stream.credit >= 0);
      }
    }
    this.#takePackets(WAITING_MAX + this.#streams.length);
    await turn();
    this.#host.reset("the run is over");
    // One that the guest had ended in order stays until somebody has read what came before.
    const left = this.#streams.filter((stream) => !stream.destroyed && !stream.writableEnded);
    assert.equal(left.length, 0, "no connection outlives the driver");
    assert.equal(
      this.#host.send(new BufferSegments([new Uint8Array(HEADER_BYTES)])),
      0,
      "nothing is left to send",
    );
    await turn();
    assert.deepEqual(this.#unexpected, []);
    return Math.max(1, this.#packets);
  }

  #use(stream: VsockStream): void {
    // Streams end by errors, as sockets do.
    stream.on("error", (error) => {
      if (!(error instanceof VsockError)) this.#unexpected.push(String(error));
    });
    this.#streams.push(stream);
  }

  #sendPacket(): void {
    const { decisions } = this;
    // A guest without room for answers is not listened to: the device sees to that.
    if (!this.#host.hasRoom) return;
    this.#packets++;
    const header = emptyHeader();
    header.srcCid = decisions.happens(8) ? Number(decisions.number64()) : GUEST_CID;
    header.dstCid = decisions.happens(8) ? Number(decisions.number64()) : VMADDR_CID_HOST;
    header.srcPort = decisions.happens(16) ? decisions.number32() : decisions.pick(GUEST_PORTS);
    header.dstPort = decisions.happens(16) ? decisions.number32() : decisions.pick(HOST_PORTS);
    header.type = decisions.happens(8) ? decisions.uint16() : VIRTIO_VSOCK_TYPE_STREAM;
    header.op = decisions.happens(16) ? decisions.uint16() : decisions.pick(OPS);
    header.flags = decisions.number32();
    header.bufAlloc = decisions.happens(128) ? 65536 : decisions.number32();
    header.fwdCnt = decisions.happens(64) ? decisions.number32() : 0;
    const payload = Buffer.alloc(header.op === VsockOp.RW ? decisions.uint16() : 0, "guest");
    header.len = payload.length;
    // Over the wire and back: the codec is under test, too.
    encodeHeader(header, this.#view);
    const decoded = emptyHeader();
    decodeHeader(this.#view, decoded);
    if (Number.isSafeInteger(header.srcCid) && Number.isSafeInteger(header.dstCid))
      assert.deepEqual(decoded, header);
    this.#host.receive(decoded, payload);
  }

  /** Gives buffers and looks at what comes in them. */
  #takePackets(count: number): void {
    for (let taken = 0; taken < count; taken++) {
      const room = HEADER_BYTES + this.decisions.pick(ROOMS);
      const buffer = this.#buffer;
      buffer.set(UNTOUCHED);
      const length = this.#host.send(new BufferSegments([buffer.subarray(0, 20), buffer.subarray(20, room)]));
      if (length === 0) return;
      assert.ok(length >= HEADER_BYTES && length <= room, `${length} bytes in ${room}`);
      assert.ok(buffer.subarray(length).equals(UNTOUCHED.subarray(length)), "nothing behind the packet");
      const header = this.#header;
      decodeHeader(new DataView(buffer.buffer, buffer.byteOffset), header);
      assert.equal(header.len, length - HEADER_BYTES);
      assert.deepEqual([header.srcCid, header.dstCid], [VMADDR_CID_HOST, GUEST_CID]);
      assert.ok(OPS.includes(header.op as (typeof OPS)[number]), `operation ${header.op}`);
      assert.ok(header.len === 0 || header.op === VsockOp.RW, "payload comes with RW only");
      const payload = buffer.subarray(HEADER_BYTES, length);
      const phase = Math.max(0, SENT.indexOf(payload.subarray(0, 1)));
      assert.ok(payload.equals(SENT.subarray(phase, phase + header.len)), "what was written");
    }
  }

  #useStream(): void {
    const { decisions } = this;
    const stream = this.#streams[decisions.below(Math.max(1, this.#streams.length))];
    if (stream === undefined) return;
    const step = decisions.below(6);
    if (step === 0) stream.destroy();
    else if (step === 1) stream.end();
    else if (step === 2) stream.read();
    else if (step === 3) stream.read(decisions.uint16());
    else if (!stream.writableEnded && !stream.destroyed)
      stream.write(SENT.subarray(0, (4 * decisions.uint16()) % SENT.length));
  }

  #connect(): void {
    const { decisions } = this;
    const abort = new AbortController();
    const refused = (error: unknown) => {
      if (!(error instanceof VsockError)) this.#unexpected.push(String(error));
    };
    this.#host
      .connect(decisions.pick(GUEST_PORTS), abort.signal)
      .then((stream) => this.#use(stream), refused);
    if (decisions.happens(64)) abort.abort();
  }
}
