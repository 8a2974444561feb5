import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TailBuffer } from "./console.js";

test("keeps the end of what was written", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.string({ unit: "binary-ascii", maxLength: 100 })),
      (capacity, chunks) => {
        const tail = new TailBuffer(capacity);
        for (const chunk of chunks) tail.append(Buffer.from(chunk));
        const all = chunks.join("");
        assert.equal(tail.toString(), all.slice(-capacity));
        assert.equal(tail.end, all.length);
        for (const offset of [0, all.length >> 1, all.length, all.length + 1]) {
          assert.equal(tail.since(offset), all.slice(Math.max(offset, all.length - capacity)));
        }
      },
    ),
  );
});

test("tells the last lines without what only a terminal understands", () => {
  const tail = new TailBuffer(1000);
  tail.append(
    Buffer.from(
      "\u001bc\u001b[?7l\u001b[2J\u001b[0mSeaBIOS\r\n\r\n  \u001b]0;title\u0007\u001b[1;31mpanic\u001b[m \r",
    ),
  );
  assert.deepEqual(tail.lastLines(5), ["SeaBIOS", "  panic"]);
  assert.deepEqual(tail.lastLines(1), ["  panic"]);
});

test("tells nothing of what an agent has dumped", () => {
  const tail = new TailBuffer(1000);
  tail.append(
    Buffer.from('{"msg":"receive createcontainer, spec: Spec { env: Some([\\"KEY=secret\\"]) }"}\nnext\n'),
  );
  assert.deepEqual(tail.lastLines(5), ['{"msg":"receive createcontainer, spec: …', "next"]);
});

test("has no lines at first, and shows a character that was cut in half as such", () => {
  const tail = new TailBuffer(4);
  assert.deepEqual(tail.lastLines(3), []);
  tail.append(Buffer.from("xx€ab"));
  assert.deepEqual(tail.lastLines(3), ["\ufffd\ufffdab"]);
});

test("tells first what was wrong when more has followed", () => {
  const tail = new TailBuffer(1000);
  const panic = "[    7.3] Kernel panic - not syncing: sysrq triggered crash";
  tail.append(Buffer.from(`booting\n${panic}\nRAX: 1\nRBX: 2\nRCX: 3\n`));
  assert.deepEqual(tail.tellingLines(2), [panic, "…", "RBX: 2", "RCX: 3"]);
  assert.deepEqual(tail.tellingLines(4), [panic, "RAX: 1", "RBX: 2", "RCX: 3"]);
  assert.deepEqual(new TailBuffer(10).tellingLines(2), []);
});
