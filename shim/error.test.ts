import assert from "node:assert/strict";
import { test } from "node:test";
import { TtrpcError } from "../lib/ttrpc/error.js";
import { messageOf, ShimError, StatusCode, toStatus } from "./error.js";

for (const [what, thrown, code, message] of [
  [
    "the shim's own refusal",
    new ShimError(StatusCode.ALREADY_EXISTS, "container c"),
    StatusCode.ALREADY_EXISTS,
    "container c",
  ],
  [
    "the agent's NOT_FOUND",
    new TtrpcError(StatusCode.NOT_FOUND, "no process"),
    StatusCode.NOT_FOUND,
    "no process",
  ],
  ["the agent's UNIMPLEMENTED", new TtrpcError(StatusCode.UNIMPLEMENTED, "Foo"), StatusCode.UNKNOWN, "Foo"],
  [
    "the agent's INTERNAL",
    new TtrpcError(StatusCode.INTERNAL, "crun failed"),
    StatusCode.UNKNOWN,
    "crun failed",
  ],
  ["an error of Node", new Error("ENOSPC: no space left"), StatusCode.UNKNOWN, "ENOSPC: no space left"],
  ["something that is no error", "text", StatusCode.UNKNOWN, "text"],
] as const) {
  test(`status of ${what}`, () => {
    const status = toStatus(thrown);
    assert.equal(status.code, code);
    assert.equal(status.rawMessage, message);
    assert.equal(status.cause, thrown);
  });
}

test("a message becomes one line", () => {
  assert.equal(messageOf(new Error("a\n  b\n")), "a; b");
});

test("the agent's call stack stays in the log", () => {
  const found = new TtrpcError(
    StatusCode.INTERNAL,
    "the file /x was not found\n\nStack backtrace:\n   0: <unknown>\n   1: <unknown>",
  );
  assert.equal(toStatus(found).rawMessage, "the file /x was not found");
  assert.equal(
    toStatus(new TtrpcError(StatusCode.INTERNAL, "no Stack backtrace: here")).rawMessage,
    "no Stack backtrace: here",
  );
});
