import assert from "node:assert/strict";
import { test } from "node:test";
import { Errno, errnoName, SysError } from "./errno.js";

test("numbers have the names of errno(3)", () => {
  assert.equal(errnoName(2), "ENOENT");
  assert.equal(errnoName(116), "ESTALE");
  assert.equal(errnoName(Errno.EAGAIN), "EAGAIN");
  assert.equal(errnoName(999), "errno 999");
});

test("a SysError tells which call failed on what", () => {
  const error = SysError.fromErrno(Errno.EACCES, "open", "/x");
  assert.equal(error.message, "open /x: EACCES");
  assert.equal(error.code, "EACCES");
});
