import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  type Attribute,
  decodeAttributes,
  decodeError,
  decodeMessages,
  encodeMessage,
  NetlinkFormatError,
  textAttribute,
  textOf,
  uint32Attribute,
} from "./message.js";

const hex = (text: string) => Buffer.from(text.replaceAll(/\s|#.*$/gm, ""), "hex");

test("a message is its header, its body and its attributes, each padded to four bytes", () => {
  const message = encodeMessage({ type: 16, flags: 5, sequence: 7 }, Buffer.from([1, 2, 3, 4]), [
    textAttribute(3, "eth0"),
    uint32Attribute(4, 1500),
    [18, [[1, Buffer.from("veth")]]],
  ]);
  assert.deepEqual(
    message,
    hex(`
      34000000 1000 0500 07000000 00000000 # nlmsghdr: 52 bytes
      01020304
      0900 0300 6574683000 000000 # "eth0" and NUL, 9 bytes
      0800 0400 dc050000
      0c00 1200 0800 0100 76657468`),
  );
});

test("what was sent together comes apart", () => {
  const [one, two] = [
    encodeMessage({ type: 1, flags: 0, sequence: 1 }, Buffer.from([9])),
    encodeMessage({ type: 2, flags: 2, sequence: 1 }, Buffer.alloc(0), [uint32Attribute(1, 2)]),
  ];
  const messages = decodeMessages(Buffer.concat([one, two]));
  assert.deepEqual(
    messages.map(({ type }) => type),
    [1, 2],
  );
  assert.deepEqual(
    decodeAttributes(messages[1]?.payload ?? Buffer.alloc(0)),
    new Map([[1, hex("02000000")]]),
  );
});

test("an acknowledgement is an error with the number 0", () => {
  const answer = (payload: Buffer) => ({ type: 2, flags: 0, sequence: 1, payload });
  assert.equal(decodeError(answer(hex("00000000"))), 0);
  assert.equal(decodeError(answer(hex("edffffff"))), 19);
  assert.throws(() => decodeError(answer(hex("00"))), NetlinkFormatError);
});

test("flags in an attribute's type are not part of it", () => {
  assert.deepEqual([...decodeAttributes(hex("0500 0280 61000000")).keys()], [2]);
  assert.equal(textOf(decodeAttributes(hex("0600 0280 61000000")).get(2)), "a");
});

describe("bytes that nobody should send", () => {
  const harmless = (decode: (bytes: Buffer) => unknown) =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decode(Buffer.from(bytes));
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError, String(error));
        }
      }),
      { numRuns: 2000 },
    );

  test("are refused as messages, or end where they end", () => harmless(decodeMessages));
  test("are refused as attributes, or end where they end", () => harmless(decodeAttributes));

  test("lengths of zero do not go round for ever", () => {
    assert.throws(() => decodeMessages(Buffer.alloc(16)), NetlinkFormatError);
    assert.throws(() => decodeAttributes(Buffer.alloc(4)), NetlinkFormatError);
  });
});

test("attributes come back as they went", () => {
  const attribute = fc.tuple(fc.integer({ min: 0, max: 0x3fff }), fc.uint8Array({ maxLength: 40 }));
  fc.assert(
    fc.property(fc.uniqueArray(attribute, { selector: ([type]) => type }), (attributes) => {
      const [message] = decodeMessages(
        encodeMessage({ type: 1, flags: 0, sequence: 0 }, Buffer.alloc(0), attributes satisfies Attribute[]),
      );
      const found = decodeAttributes(message?.payload ?? Buffer.alloc(0));
      assert.deepEqual(found, new Map(attributes.map(([type, value]) => [type, Buffer.from(value)])));
    }),
  );
});
