import assert from "node:assert/strict";
import { test } from "node:test";
import { reportRows } from "./report.js";
import type { Subject } from "./subjects.js";

function subject(name: string): Subject {
  return { name, title: `by ${name}`, devices: () => [], mount: [], hasWindow: false };
}

test("each row says how many times as fast as virtiofsd a subject is, by the median of the rounds", () => {
  const measured = [
    { subject: "dax", ms: [10, 20, 500], cachedKib: [0, 0, 0], daemonMs: 3 },
    { subject: "virtiofsd", ms: [40, 60, 1000], cachedKib: [2048, 1024, 4096], daemonMs: undefined },
  ];
  const text = reportRows([subject("dax"), subject("virtiofsd")], new Map([["read", measured]]));
  assert.ok(text.includes("| read | 3.00 | 1.00 |"), text);
  assert.ok(text.includes("| read | by dax | 20 | 10 | 500 | 0.0 | 3 |"), text);
  assert.ok(text.includes("| read | by virtiofsd | 60 | 40 | 1000 | 2.0 | – |"), text);
});
