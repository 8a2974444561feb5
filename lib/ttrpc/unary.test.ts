import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { callUnary, StatusCode, type TtrpcClient, type UnaryHandler, unary } from "./index.js";

/** Messages that are one number in one byte. */
const NumberCodec = {
  encode: (message: number) => ({ finish: () => Uint8Array.of(message) }),
  decode: (bytes: Uint8Array): number => bytes[0] ?? assert.fail("it is empty"),
};

const double = unary(NumberCodec, NumberCodec, async (request) => 2 * request);

const context = { service: "s", method: "m", metadata: new Map(), signal: new AbortController().signal };

/** A client whose server is `handler`, without a connection. */
function clientOf(handler: UnaryHandler): TtrpcClient {
  return {
    call: (service, method, payload) => handler(payload, { ...context, service, method }),
    close() {},
    closed: Promise.resolve(),
  };
}

describe("unary", () => {
  it("makes messages of bytes, and bytes of messages, at either end", async () => {
    assert.deepEqual(await double(Uint8Array.of(4), context), Uint8Array.of(8));
    assert.equal(await callUnary(clientOf(double), "s", "m", NumberCodec, NumberCodec, 21), 42);
  });

  it("blames the caller for a request, and the server for a reply, that cannot be decoded", async () => {
    await assert.rejects(double(new Uint8Array(0), context), {
      code: StatusCode.INVALID_ARGUMENT,
      message: "[INVALID_ARGUMENT] s/m: the request cannot be decoded",
    });
    const empty = clientOf(async () => new Uint8Array(0));
    await assert.rejects(callUnary(empty, "s", "m", NumberCodec, NumberCodec, 1), {
      code: StatusCode.INTERNAL,
      message: "[INTERNAL] s/m: the reply cannot be decoded",
    });
  });
});
