import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeReply, decodeRequest, encodeReply, encodeRequest, encodeStatus } from "./envelope.js";
import { TtrpcError } from "./error.js";
import { MalformedMessageError } from "./protobuf.js";
import { StatusCode } from "./status.js";

describe("request", () => {
  const request = {
    service: "s",
    method: "m",
    payload: Uint8Array.of(1),
    timeoutMs: 2000,
    metadata: new Map([["k", "v"]]),
  };

  it("is a protobuf message with service, method, payload, timeout_nano and metadata", () => {
    // 2 s are 2 000 000 000 ns, the varint 80 a8 d6 b9 07.
    assert.equal(
      encodeRequest(request).toString("hex"),
      `0a0173${"12016d"}1a0101${"2080a8d6b907"}2a060a016b120176`,
    );
  });

  it("comes back from its bytes", () => {
    const decoded = decodeRequest(encodeRequest(request));
    assert.deepEqual({ ...decoded, payload: [...decoded.payload] }, { ...request, payload: [1] });
  });
});

describe("reply", () => {
  it("writes an empty payload out", () => {
    assert.equal(encodeReply(new Uint8Array(0)).toString("hex"), "1200");
    assert.deepEqual([...assertPayload(decodeReply(Buffer.from("1200", "hex")))], []);
    assert.deepEqual([...assertPayload(decodeReply(new Uint8Array(0)))], []);
  });

  it("carries a status with its details", () => {
    const error = new TtrpcError(StatusCode.NOT_FOUND, "no", [Uint8Array.of(9)]);
    assert.equal(encodeStatus(error).toString("hex"), "0a0908051202" + "6e6f" + "1a0109");
    const decoded = decodeReply(encodeStatus(error));
    assert.ok(decoded instanceof TtrpcError);
    assert.deepEqual(
      [decoded.code, decoded.rawMessage, decoded.message, decoded.details.map((detail) => [...detail])],
      [StatusCode.NOT_FOUND, "no", "[NOT_FOUND] no", [[9]]],
    );
  });
});

describe("arbitrary bytes", () => {
  it("are decoded or refused, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        for (const decode of [decodeRequest, decodeReply]) {
          try {
            decode(bytes);
          } catch (error) {
            assert.ok(error instanceof MalformedMessageError);
          }
        }
      }),
    );
  });
});

function assertPayload(reply: Uint8Array | TtrpcError): Uint8Array {
  assert.ok(!(reply instanceof TtrpcError));
  return reply;
}
