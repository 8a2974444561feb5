import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NameMap, Verdict, XATTR_NAME_MAX } from "./name-map.js";
import { guestList, hostName } from "./testing/translate.js";

test("names that no rule matches are unsupported, and not shown", () => {
  const map = new NameMap([], []);
  assert.equal(hostName(map, "user.a"), "unsupported");
  assert.deepEqual(guestList(map, ["user.a"]), []);
});

test("an exact rule is about one name", () => {
  const match = Buffer.from("user.a");
  const map = new NameMap(
    [{ match, exact: true, verdict: Verdict.denied }],
    [
      { match, exact: true, show: false },
      { match: Buffer.alloc(0), show: true },
    ],
  );
  assert.equal(hostName(map, "user.a"), "denied");
  assert.equal(hostName(map, "user.ab"), "unsupported");
  assert.deepEqual(guestList(map, ["user.a", "user.ab", "user."]), ["user.ab", "user."]);
});

test("the longest name with the longest prefix fits", () => {
  const prepend = Buffer.alloc(XATTR_NAME_MAX, "p");
  const map = new NameMap([{ match: Buffer.alloc(0), verdict: Verdict.renamed, prepend }], []);
  assert.equal(
    hostName(map, "n".repeat(XATTR_NAME_MAX)),
    "p".repeat(XATTR_NAME_MAX) + "n".repeat(XATTR_NAME_MAX),
  );
  assert.throws(
    () => new NameMap([{ match: prepend, verdict: Verdict.renamed, prepend: Buffer.alloc(256) }], []),
    RangeError,
  );
});

test("a list of any bytes becomes a list that the guest's kernel accepts, no longer than it was", () => {
  const map = new NameMap(
    [],
    [
      { match: Buffer.from("a"), show: true, strip: 1 },
      { match: Buffer.from("b"), show: false },
      { match: Buffer.alloc(0), show: true },
    ],
  );
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0, 97, 98, 99), { maxLength: 40 }), (values) => {
      const bytes = Uint8Array.from([1, ...values, 1]);
      const length = map.listToGuest(bytes, 1, values.length);
      assert.ok(length <= values.length);
      assert.equal(bytes.at(0), 1);
      assert.equal(bytes.at(-1), 1);
      const text = Buffer.from(bytes.subarray(1, 1 + length)).toString("latin1");
      assert.ok(
        text === "" || (text.endsWith("\0") && !text.startsWith("\0") && !text.includes("\0\0")),
        text,
      );
    }),
  );
});
