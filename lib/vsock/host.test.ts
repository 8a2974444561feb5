import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { GuestSegments } from "../virtio/guest-segments.js";
import type { SegmentList } from "../virtio/segment-list.js";
import { VsockHost } from "./host.js";
import {
  decodeHeader,
  emptyHeader,
  HEADER_BYTES,
  SHUTDOWN_RCV,
  SHUTDOWN_SEND,
  type VsockHeader,
  VsockOp,
} from "./packet.js";
import { BUF_ALLOC_BYTES, VsockError, type VsockStream } from "./stream.js";

const GUEST_CID = 3;
const LISTENED = 1024;

/** A buffer of the guest, in plain memory. */
function bufferOf(bytes: Uint8Array): SegmentList {
  const segments = new GuestSegments(1);
  segments.push(
    {
      guestAddress: 0,
      userAddress: 0,
      byteLength: bytes.length,
      hostAddress: 0,
      isWritable: true,
      fd: -1,
      fileOffset: 0,
      bytes,
      words: new Uint16Array(0),
      view: new DataView(bytes.buffer, bytes.byteOffset),
    },
    0,
    bytes.length,
  );
  return segments;
}

function rig() {
  const accepted: VsockStream[] = [];
  const host = new VsockHost(
    GUEST_CID,
    (port, stream) => {
      if (port !== LISTENED) return false;
      stream.on("error", () => {});
      accepted.push(stream);
      return true;
    },
    () => {},
  );
  return {
    host,
    accepted,
    /** The guest sends a packet. */
    give(fields: Partial<VsockHeader>, payload = Buffer.alloc(0)): void {
      const header = {
        ...emptyHeader(),
        srcCid: GUEST_CID,
        dstCid: 2,
        srcPort: 7,
        dstPort: LISTENED,
        bufAlloc: 65536,
      };
      host.receive({ ...header, len: payload.length, ...fields }, payload);
    },
    /** The guest offers a buffer. @returns what comes in it */
    take(room = 4096): { header: VsockHeader; payload: string } | undefined {
      const bytes = Buffer.alloc(room);
      const length = host.send(bufferOf(bytes));
      if (length === 0) return undefined;
      const header = emptyHeader();
      decodeHeader(new DataView(bytes.buffer, bytes.byteOffset), header);
      assert.equal(header.len, length - HEADER_BYTES);
      return { header, payload: bytes.toString("latin1", HEADER_BYTES, length) };
    },
  };
}

describe("VsockHost", () => {
  it("takes a connection of the guest, both ways, until both have shut it down", async () => {
    const { give, take, accepted } = rig();
    give({ op: VsockOp.REQUEST });
    const response = take()?.header;
    assert.deepEqual([response?.op, response?.srcPort, response?.dstPort], [VsockOp.RESPONSE, LISTENED, 7]);
    assert.deepEqual(
      [response?.srcCid, response?.dstCid, response?.bufAlloc],
      [2, GUEST_CID, BUF_ALLOC_BYTES],
    );
    const [stream] = accepted;
    assert.ok(stream);
    give({ op: VsockOp.RW }, Buffer.from("question"));
    assert.equal(String(stream.read()), "question");
    stream.end("answer");
    const answer = take();
    assert.deepEqual([answer?.header.op, answer?.payload, answer?.header.fwdCnt], [VsockOp.RW, "answer", 8]);
    await once(stream, "finish");
    assert.equal(take()?.header.flags, SHUTDOWN_SEND);
    give({ op: VsockOp.SHUTDOWN, flags: SHUTDOWN_SEND | SHUTDOWN_RCV });
    stream.resume();
    await once(stream, "close");
    assert.equal(take()?.header.op, VsockOp.SHUTDOWN);
    give({ op: VsockOp.RW }, Buffer.from("too late"));
    assert.equal(take()?.header.op, VsockOp.RST, "the connection is not known any more");
  });

  it("refuses what nobody listens for, what is of no connection, and what is not for it", () => {
    const { give, take } = rig();
    for (const fields of [
      { op: VsockOp.REQUEST, dstPort: 9 },
      { op: VsockOp.RW },
      { op: VsockOp.CREDIT_REQUEST },
      { op: 99 },
      { op: VsockOp.REQUEST, dstCid: 4 },
      { op: VsockOp.REQUEST, srcCid: 2 ** 32 + GUEST_CID },
      { op: VsockOp.REQUEST, type: 2 },
    ]) {
      give(fields);
      assert.equal(take()?.header.op, VsockOp.RST, JSON.stringify(fields));
      assert.equal(take(), undefined);
    }
    give({ op: VsockOp.RST });
    assert.equal(take(), undefined, "a reset is not answered, or both sides would go on for ever");
  });

  it("sends no more than the guest has room for, and asks for news of it", () => {
    const { give, take, accepted } = rig();
    give({ op: VsockOp.REQUEST, bufAlloc: 10 });
    take();
    const [stream] = accepted;
    stream?.write("0123456789abcdef");
    assert.equal(take()?.payload, "0123456789");
    stream?.write("more");
    assert.equal(take(), undefined);
    give({ op: VsockOp.CREDIT_UPDATE, bufAlloc: 10, fwdCnt: 4 });
    assert.equal(take()?.payload, "abcd");
    give({ op: VsockOp.CREDIT_UPDATE, bufAlloc: 0, fwdCnt: 0xffff_0000 });
    assert.equal(stream?.credit, 0, "a count that cannot be grants nothing");
    assert.equal(take(), undefined);
  });

  it("ends a connection whose guest sends more than it was given room for", async () => {
    const { give, take, accepted } = rig();
    give({ op: VsockOp.REQUEST });
    take();
    const [stream] = accepted;
    assert.ok(stream);
    const piece = Buffer.alloc(65536);
    for (let sent = 0; sent < BUF_ALLOC_BYTES; sent += piece.length) give({ op: VsockOp.RW }, piece);
    assert.equal(stream.destroyed, false);
    assert.equal(stream.readableLength, BUF_ALLOC_BYTES);
    give({ op: VsockOp.RW }, Buffer.alloc(1));
    assert.equal(stream.destroyed, true);
    await new Promise((resolve) => stream.on("close", resolve));
    assert.equal(take()?.header.op, VsockOp.RST);
  });

  it("ends a connection whose guest sends after it has shut down", async () => {
    const { give, take, accepted } = rig();
    give({ op: VsockOp.REQUEST });
    take();
    const [stream] = accepted;
    assert.ok(stream);
    const failed = new Promise((resolve) => stream.on("error", resolve));
    give({ op: VsockOp.SHUTDOWN, flags: SHUTDOWN_SEND });
    give({ op: VsockOp.RW }, Buffer.from("more"));
    assert.match(String(await failed), /EPROTO.*said that it would not/);
    assert.equal(take()?.header.op, VsockOp.RST);
  });

  it("sends nothing into a buffer with room for a header alone, and does not hang of it", () => {
    const { give, take, accepted } = rig();
    give({ op: VsockOp.REQUEST });
    assert.equal(take(HEADER_BYTES)?.header.op, VsockOp.RESPONSE);
    accepted[0]?.write("text");
    assert.equal(take(HEADER_BYTES), undefined);
    assert.equal(take(HEADER_BYTES + 2)?.payload, "te");
    assert.equal(take()?.payload, "xt");
  });

  it("stops listening to a guest that takes no answers, and takes at most so many connections", () => {
    const { host, give, accepted } = rig();
    let sent = 0;
    for (; host.hasRoom && sent < 10_000; sent++) give({ op: VsockOp.REQUEST, srcPort: sent });
    assert.ok(sent < 2000, "answers that wait are bounded");
    for (let port = sent; port < sent + 2000; port++) {
      give({ op: VsockOp.REQUEST, srcPort: port });
      while (host.send(bufferOf(Buffer.alloc(HEADER_BYTES))) > 0);
    }
    assert.equal(accepted.length, 1024);
  });

  it("connects, is refused, gives up, and lets go of everything when the driver stops", async () => {
    const { host, give, take } = rig();
    const connecting = host.connect(5);
    const request = take()?.header;
    assert.deepEqual([request?.op, request?.dstPort], [VsockOp.REQUEST, 5]);
    give({ op: VsockOp.RESPONSE, srcPort: 5, dstPort: request?.srcPort ?? 0 });
    const stream = await connecting;
    stream.on("error", () => {});

    const refused = assert.rejects(host.connect(6), { code: "ECONNREFUSED" });
    give({ op: VsockOp.RST, srcPort: 6, dstPort: take()?.header.srcPort ?? 0 });
    await refused;

    const abort = new AbortController();
    const given = assert.rejects(host.connect(6, abort.signal), { code: "ECANCELED" });
    abort.abort();
    await given;

    const lost = assert.rejects(host.connect(8), VsockError);
    host.reset("the driver is gone");
    await lost;
    assert.ok(stream.destroyed);
    assert.equal(take(), undefined);
  });
});
