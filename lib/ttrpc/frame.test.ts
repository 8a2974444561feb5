import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { encodeFrame, type Frame, FrameDecoder, FrameType, MAX_PAYLOAD_BYTES } from "./frame.js";

describe("frame", () => {
  it("has ten bytes before the payload: length, stream id, type, flags", () => {
    assert.deepEqual(
      encodeFrame(0x01020304, FrameType.REQUEST, Uint8Array.of(0xaa, 0xbb), 0x5),
      Buffer.from("00000002010203040105aabb", "hex"),
    );
  });

  it("refuses to encode a payload over 4 MiB", () => {
    encodeFrame(1, FrameType.REQUEST, new Uint8Array(MAX_PAYLOAD_BYTES));
    assert.throws(() => encodeFrame(1, FrameType.REQUEST, new Uint8Array(MAX_PAYLOAD_BYTES + 1)), RangeError);
  });

  it("is decoded to the same frames whatever the chunks", () => {
    const frames = fc.array(
      fc.record({
        streamId: fc.nat(0xffff_ffff),
        type: fc.nat(255),
        flags: fc.nat(255),
        payload: fc.uint8Array({ maxLength: 40 }),
      }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 50 })), (sent, cuts) => {
        const bytes = Buffer.concat(
          sent.map(({ streamId, type, flags, payload }) => encodeFrame(streamId, type, payload, flags)),
        );
        const decoder = new FrameDecoder();
        const received: Frame[] = [];
        let offset = 0;
        for (const cut of [...cuts, bytes.length]) {
          received.push(...decoder.push(bytes.subarray(offset, offset + cut)));
          offset += cut;
        }
        assert.deepEqual(
          received.map((frame) => ({ ...frame, payload: [...frame.payload] })),
          sent.map((frame) => ({ ...frame, payload: [...frame.payload] })),
        );
        assert.equal(decoder.isPartial, false);
      }),
    );
  });

  it("skips a payload over the limit and goes on behind it", () => {
    const decoder = new FrameDecoder(4);
    const long = encodeFrame(1, FrameType.REQUEST, Buffer.from("12345"));
    const short = encodeFrame(3, FrameType.REQUEST, Buffer.from("1234"));
    const frames = [
      ...decoder.push(long.subarray(0, 12)),
      ...decoder.push(Buffer.concat([long.subarray(12), short])),
    ];
    assert.deepEqual(
      frames.map(({ streamId, oversizeBytes }) => [streamId, oversizeBytes]),
      [
        [1, 5],
        [3, undefined],
      ],
    );
  });
});
