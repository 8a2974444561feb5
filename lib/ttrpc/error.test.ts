import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StatusCode, statusName, TtrpcError } from "./index.js";

describe("error", () => {
  it("is itself, or UNKNOWN with the value as its cause", () => {
    const error = new TtrpcError(StatusCode.NOT_FOUND, "no such task");
    assert.equal(TtrpcError.from(error), error);
    const cause = new TypeError("boom");
    const wrapped = TtrpcError.from(cause);
    assert.deepEqual([wrapped.code, wrapped.rawMessage], [StatusCode.UNKNOWN, "boom"]);
    assert.equal(wrapped.cause, cause);
    assert.equal(TtrpcError.from("text").message, "[UNKNOWN] text");
  });

  it("names the numbers of gRPC", () => {
    assert.deepEqual([0, 5, 12, 16, 99].map(statusName), [
      "OK",
      "NOT_FOUND",
      "UNIMPLEMENTED",
      "UNAUTHENTICATED",
      "code 99",
    ]);
  });
});
