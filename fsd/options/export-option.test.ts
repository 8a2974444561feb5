import assert from "node:assert/strict";
import { test } from "node:test";
import { WITHOUT_LIMIT_SECONDS } from "../passthrough/export-policy.js";
import { OptionsError } from "./error.js";
import { parseExport } from "./export-option.js";

test("an export has a glob, a policy, and what differs from it", () => {
  assert.deepEqual(parseExport("*/lower/*:immutable"), {
    pattern: ["*", "lower", "*"],
    policy: "immutable",
  });
  assert.deepEqual(parseExport("/:shared,entry=0.5,attr=forever,negative=2,quiet=30,dax=on,readonly"), {
    pattern: [],
    policy: "shared",
    entrySeconds: 0.5,
    attrSeconds: WITHOUT_LIMIT_SECONDS,
    negativeSeconds: 2,
    quietSeconds: 30,
    dax: true,
    readOnly: true,
  });
  assert.deepEqual(parseExport("/a:b/c/:always,dax=2M"), {
    pattern: ["a:b", "c"],
    policy: "always",
    dax: 2 ** 21,
  });
  assert.equal(parseExport("a:never,dax=off").dax, false);
});

test("what cannot be followed is refused with what is possible", () => {
  const wrong = {
    shared: /GLOB:POLICY/,
    ":shared": /GLOB:POLICY/,
    "a:imutable": /"imutable" is no policy; possible are immutable, exclusive, shared, never/,
    "a/../b:shared": /without \. and \.\./,
    "a*/b:shared": /whole component/,
    "a:shared,entri=1": /"entri": possible are entry, attr, negative, quiet, dax, readonly/,
    "a:shared,entry=1,entry=2": /entry is given twice/,
    "a:shared,entry=-1": /number of seconds/,
    "a:shared,attr=": /number of seconds/,
    "a:shared,dax": /on, off, or the smallest size/,
    "a:shared,dax=1T": /on, off, or the smallest size/,
    "a:shared,readonly=yes": /no value/,
    "a:shared,": /"": possible are/,
  };
  for (const [text, message] of Object.entries(wrong)) {
    assert.throws(
      () => parseExport(text),
      (error) =>
        error instanceof OptionsError &&
        message.test(error.message) &&
        error.message.startsWith(`--export=${text}: `),
    );
  }
});
