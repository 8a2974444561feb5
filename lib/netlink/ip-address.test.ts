import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { formatIp, formatMac, parseIp, parseMac } from "./ip-address.js";
import { NetlinkFormatError } from "./message.js";

test("addresses are read in every form that there is", () => {
  assert.deepEqual(parseIp("10.0.255.1"), Buffer.from([10, 0, 255, 1]));
  for (const [text, bytes] of [
    ["::", "00000000000000000000000000000000"],
    ["::1", "00000000000000000000000000000001"],
    ["fd00::", "fd000000000000000000000000000000"],
    ["fd00:1::2:3", "fd000001000000000000000000020003"],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
    ["::ffff:10.0.0.1", "00000000000000000000ffff0a000001"],
  ] as const) {
    assert.equal(parseIp(text).toString("hex"), bytes, text);
  }
});

test("what is no address is refused", () => {
  for (const text of ["", "10.0.0", "10.0.0.256", ":::", "fe80::1%eth0", "1:2:3", "x"]) {
    assert.throws(() => parseIp(text), NetlinkFormatError, text);
  }
  for (const text of ["", "02:00:00:00:00", "02:00:00:00:00:0g"]) {
    assert.throws(() => parseMac(text), NetlinkFormatError, text);
  }
  assert.throws(() => formatIp(Buffer.alloc(5)), NetlinkFormatError);
});

test("an address in text is the same address", () => {
  const ofLength = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(fc.oneof(ofLength(4), ofLength(16)), (bytes) => {
      const text = formatIp(bytes);
      assert.equal(isIPv6(text), bytes.length === 16);
      assert.deepEqual(parseIp(text), Buffer.from(bytes));
    }),
  );
  fc.assert(
    fc.property(ofLength(6), (bytes) => assert.deepEqual(parseMac(formatMac(bytes)), Buffer.from(bytes))),
  );
});
