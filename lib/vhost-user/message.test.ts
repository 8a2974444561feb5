import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  decodeConfigRange,
  decodeHeader,
  decodeMemoryRegion,
  decodeMemoryTable,
  decodeVringAddress,
  decodeVringFd,
  encodeMessage,
  HEADER_BYTES,
  PAYLOAD_BYTES_MAX,
  shmemConfigPayload,
  shmemPayload,
  u64Payload,
  VhostUserError,
  VhostUserRequest,
  vringStatePayload,
} from "./message.js";

const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");
const view = (buffer: Uint8Array) => new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);

/** Written out by hand after the specification's sections "Header", "Message types" and "Back-end message types". */
const REGION = `0000000000000000 00000c0000000000 0000f43f00000000 0000cc00007f0000 00000c0000000000`;

describe("vhost-user messages", () => {
  it("have these bytes", () => {
    assert.deepEqual(
      encodeMessage(1, "reply", u64Payload(0x1_7000_0000)),
      bytes("01000000 05000000 08000000 0000007001000000"),
    );
    assert.deepEqual(encodeMessage(3, "request", bytes("")), bytes("03000000 01000000 00000000"));
    assert.deepEqual(
      encodeMessage(9, "request-needing-reply", bytes("ff")),
      bytes("09000000 09000000 01000000 ff"),
    );
    assert.deepEqual(Buffer.from(vringStatePayload(1, 0xfffe)), bytes("01000000 feff0000"));
    assert.deepEqual(
      Buffer.from(shmemPayload(0x20_0000, 0x40_0000, 0x1000, true)),
      bytes("0000000000000000 0000200000000000 0000400000000000 0010000000000000 0100000000000000"),
    );
    const shmem = Buffer.from(shmemConfigPayload([0x1000_0000, 0, 0x1000]));
    assert.equal(shmem.length, 8 + 256 * 8);
    assert.deepEqual(
      shmem.subarray(0, 32),
      bytes("02000000 00000000 0000001000000000 0000000000000000 0010000000000000"),
    );
    assert.ok(shmem.subarray(32).every((byte) => byte === 0));
  });

  it("are read from these bytes", () => {
    assert.deepEqual(decodeHeader(view(bytes("25000000 09000000 28000000"))), {
      request: VhostUserRequest.ADD_MEM_REG,
      isReply: false,
      needReply: true,
      payloadBytes: 40,
    });
    const region = {
      guestAddress: 0xc_0000,
      sizeBytes: 0x3ff4_0000,
      userAddress: 0x7f00_00cc_0000,
      mmapOffset: 0xc_0000,
    };
    assert.deepEqual(decodeMemoryRegion(VhostUserRequest.ADD_MEM_REG, bytes(REGION)), region);
    const table = bytes(`02000000 00000000 ${REGION.slice(17)} ${REGION.slice(17)}`);
    assert.deepEqual(decodeMemoryTable(table), [region, region]);
    assert.deepEqual(
      decodeVringAddress(
        bytes("01000000 00000000 00100000007f0000 00300000007f0000 00200000007f0000 0000000000000000"),
      ),
      {
        index: 1,
        descriptorAddress: 0x7f00_0000_1000,
        usedAddress: 0x7f00_0000_3000,
        availAddress: 0x7f00_0000_2000,
      },
    );
    assert.deepEqual(decodeVringFd(12, bytes("0100000000000000")), { index: 1, hasFd: true });
    assert.deepEqual(decodeVringFd(12, bytes("0101000000000000")), { index: 1, hasFd: false });
    assert.deepEqual(decodeConfigRange(24, bytes("04000000 28000000 00000000")), {
      offset: 4,
      sizeBytes: 40,
    });
  });

  it("of another version, or too long, are refused", () => {
    assert.throws(() => decodeHeader(view(bytes("01000000 02000000 00000000"))), VhostUserError);
    assert.throws(() => decodeHeader(view(bytes("01000000 00000000 00000000"))), VhostUserError);
    assert.equal(decodeHeader(view(bytes("01000000 01000000 00100000"))).payloadBytes, PAYLOAD_BYTES_MAX);
    assert.throws(() => decodeHeader(view(bytes("01000000 01000000 01100000"))), VhostUserError);
    assert.throws(() => decodeHeader(view(bytes("01000000 01000000 ffffffff"))), VhostUserError);
  });

  it("with more regions than a table has, or numbers over 53 bits, are refused", () => {
    const nine = Buffer.concat([bytes("09000000 00000000"), Buffer.alloc(9 * 32)]);
    assert.throws(() => decodeMemoryTable(nine), VhostUserError);
    assert.throws(() => decodeMemoryTable(bytes("ffffffff 00000000")), VhostUserError);
    for (const field of [8, 16, 24, 32]) {
      const wrong = bytes(REGION);
      wrong.writeBigUInt64LE(2n ** 53n, field);
      assert.throws(() => decodeMemoryRegion(VhostUserRequest.ADD_MEM_REG, wrong), VhostUserError);
    }
  });

  it("of any bytes are read, or refused by a VhostUserError", () => {
    const decoders = [
      (payload: Uint8Array) => decodeMemoryRegion(37, payload),
      decodeMemoryTable,
      decodeVringAddress,
      (payload: Uint8Array) => decodeVringFd(12, payload),
      (payload: Uint8Array) => decodeConfigRange(24, payload),
    ];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(decoders.length - 1), (payload, which) => {
        try {
          decoders[which]?.(payload);
        } catch (error) {
          assert.ok(error instanceof VhostUserError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("come back as they went", () => {
    const kinds = fc.constantFrom("request", "request-needing-reply", "reply" as const);
    fc.assert(
      fc.property(fc.nat(0xffff), kinds, fc.uint8Array({ maxLength: 64 }), (request, kind, payload) => {
        const message = encodeMessage(request, kind, payload);
        assert.deepEqual(decodeHeader(view(message)), {
          request,
          isReply: kind === "reply",
          needReply: kind === "request-needing-reply",
          payloadBytes: payload.length,
        });
        assert.ok(message.subarray(HEADER_BYTES).equals(payload));
      }),
    );
  });
});
