import assert from "node:assert/strict";
import { test } from "node:test";
import { pageCacheBytes, parseMountinfo } from "./facts.js";

test("page cache: buffers and cached, in bytes", () => {
  const text = "MemTotal: 1000 kB\nBuffers:            12 kB\nCached:            100 kB\nSwapCached:  7 kB\n";
  assert.equal(pageCacheBytes(text), 112 * 1024);
  assert.throws(() => pageCacheBytes("Buffers: 1 kB\n"), /no line Cached/);
});

test("mountinfo: with and without optional fields", () => {
  const text = `\
29 28 0:25 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/u,workdir=/w
30 29 0:26 / /proc rw,nosuid shared:5 master:1 - proc proc rw
not a line
`;
  assert.deepEqual(parseMountinfo(text), [
    {
      point: "/",
      type: "overlay",
      source: "overlay",
      options: ["rw", "lowerdir=/a:/b", "upperdir=/u", "workdir=/w"],
    },
    { point: "/proc", type: "proc", source: "proc", options: ["rw"] },
  ]);
});
