import assert from "node:assert/strict";
import { test } from "node:test";
import { ShimError, StatusCode } from "../error.js";
import { parseStdio } from "./uri.js";

test("what containerd sends", () => {
  assert.deepEqual(parseStdio("stdin", ""), { kind: "none" });
  assert.deepEqual(parseStdio("stdout", "/run/containerd/fifo/1/x-stdout"), {
    kind: "path",
    path: "/run/containerd/fifo/1/x-stdout",
  });
  assert.deepEqual(parseStdio("stderr", "file:///var/log/a%20b.log"), {
    kind: "log-file",
    path: "/var/log/a b.log",
  });
});

for (const [stream, value] of [
  ["stdin", "binary:///usr/bin/logger?tag=x"],
  ["stdout", "binary://"],
  ["stdout", "ttrpc+unix:///sock?streaming_id=x"],
  ["stdout", "file://"],
  ["stdin", "file:///etc/passwd"],
  ["stdin", "relative/path"],
] as const) {
  test(`refuses ${stream} ${value} and says so`, () => {
    assert.throws(
      () => parseStdio(stream, value),
      (error) =>
        error instanceof ShimError &&
        error.code === StatusCode.INVALID_ARGUMENT &&
        error.message.includes(`${stream} "${value}"`),
    );
  });
}

test("a logging binary with its arguments", () => {
  assert.deepEqual(parseStdio("stdout", "binary:///usr/bin/my%20log?--tag=a%20b&-v&--tag=c"), {
    kind: "binary",
    path: "/usr/bin/my log",
    args: ["--tag", "a b", "-v", ""],
  });
});
