import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LINE_CHARACTERS_MAX, LineSplitter } from "./line-splitter.js";

function split(chunks: readonly Buffer[]): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for (const chunk of chunks) splitter.push(chunk);
  return lines;
}

test("lines come whole however the stream is cut, also within a character", () => {
  const text = "first\r\n\n  wörds €\nlast\n";
  const expected = ["first", "  wörds €", "last"];
  const bytes = Buffer.from(text);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 8 }), (cuts) => {
      const ends = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const chunks = ends.slice(1).map((end, index) => bytes.subarray(ends[index], end));
      assert.deepEqual(split(chunks), expected);
    }),
  );
});

test("a line that does not end is not kept", () => {
  const chunk = Buffer.alloc(LINE_CHARACTERS_MAX - 1, "x");
  const [line, next] = split([chunk, chunk, chunk, Buffer.from("\nnext\n")]);
  assert.equal(line, `${"x".repeat(LINE_CHARACTERS_MAX)}…`);
  assert.equal(next, "next");
});
