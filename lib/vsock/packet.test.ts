import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeHeader, emptyHeader, encodeHeader, HEADER_BYTES, VMADDR_CID_HOST, VsockOp } from "./packet.js";

/** struct virtio_vsock_hdr (virtio 1.2, 5.10.6), written out by hand. */
const REQUEST = Buffer.from(
  [
    "0300000000000000", // src_cid 3
    "0200000000000000", // dst_cid 2
    "04030201", // src_port
    "00040000", // dst_port 1024
    "10000000", // len 16
    "0100", // type: stream
    "0100", // op: request
    "03000000", // flags
    "00000400", // buf_alloc 256 KiB
    "feffffff", // fwd_cnt
  ].join(""),
  "hex",
);
const FIELDS = {
  srcCid: 3,
  dstCid: VMADDR_CID_HOST,
  srcPort: 0x01020304,
  dstPort: 1024,
  len: 16,
  type: 1,
  op: VsockOp.REQUEST,
  flags: 3,
  bufAlloc: 256 * 1024,
  fwdCnt: 0xffff_fffe,
};

test("a header is read as the specification has it", () => {
  assert.equal(REQUEST.length, HEADER_BYTES);
  const header = emptyHeader();
  decodeHeader(new DataView(REQUEST.buffer, REQUEST.byteOffset), header);
  assert.deepEqual(header, FIELDS);
});

test("a header is written as the specification has it", () => {
  const bytes = Buffer.alloc(HEADER_BYTES, 0xee);
  encodeHeader(FIELDS, new DataView(bytes.buffer, bytes.byteOffset));
  assert.deepEqual(bytes, REQUEST);
});

test("an address of 64 bits is never taken for one of 32", () => {
  const bytes = Buffer.from(REQUEST);
  for (const high of [1, 0x8000_0000, 0xffff_ffff]) {
    bytes.writeUInt32LE(high, 4);
    const header = emptyHeader();
    decodeHeader(new DataView(bytes.buffer, bytes.byteOffset), header);
    assert.notEqual(header.srcCid, 3);
    assert.ok(header.srcCid > 0xffff_ffff);
  }
});
