import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AnswerFilter } from "./answer-filter.js";

const TOKEN = "a1b2";
const EDGE = "\u001e";

function filtered(chunks: readonly Buffer[]) {
  const seen = { ready: 0, begun: 0, output: "", statuses: [] as number[] };
  const filter = new AnswerFilter(
    TOKEN,
    () => seen.ready++,
    () => seen.begun++,
    (bytes) => {
      seen.output += bytes.toString("latin1");
    },
    (status) => seen.statuses.push(status),
  );
  for (const chunk of chunks) filter.push(chunk);
  return seen;
}

test("the output lies between the marks, however the stream is cut, and may look like one", () => {
  const output = `one\n${EDGE}${TOKEN}${EDGE}${EDGE}a1${EDGE}two`;
  const bytes = Buffer.from(
    `# stty raw -echo; printf '\\036%s\\036' ${TOKEN}\r\n${EDGE}${TOKEN}${EDGE}\r\n${EDGE}${TOKEN}${EDGE}${output}${EDGE}${TOKEN}:137${EDGE}rest`,
    "latin1",
  );
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 12 }), (cuts) => {
      const ends = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const chunks = ends.slice(1).map((end, index) => bytes.subarray(ends[index], end));
      assert.deepEqual(filtered(chunks), { ready: 1, begun: 1, output, statuses: [137] });
    }),
  );
});

test("output comes as soon as it can be no mark", () => {
  const begin = `${EDGE}${TOKEN}${EDGE}`.repeat(2);
  assert.equal(filtered([Buffer.from(`${begin}waiting?`)]).output, "waiting?");
  assert.equal(filtered([Buffer.from(`${begin}waiting?${EDGE}a1`)]).output, "waiting?");
});
