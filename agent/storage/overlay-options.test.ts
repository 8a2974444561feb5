import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fitOverlayOptions } from "./overlay-options.js";

const base = `/run/kata-containers/shared/containers/${"c".repeat(64)}`;
const upper = [`upperdir=${base}/upper/fs`, `workdir=${base}/upper/work`];
const lowers = (count: number) => Array.from({ length: count }, (_, index) => `${base}/lower/${index}`);

describe("fitOverlayOptions", () => {
  test("leaves options that fit a page", () => {
    const options = [`lowerdir=${lowers(20).join(":")}`, ...upper];
    assert.deepEqual(fitOverlayOptions(options), { directory: "/", options });
  });

  test("names 127 layers relative to where they are", () => {
    const fitted = fitOverlayOptions([`lowerdir=${lowers(127).join(":")}`, ...upper]);
    assert.equal(fitted.directory, `${base}/lower`);
    const names = Array.from({ length: 127 }, (_, index) => index).join(":");
    assert.deepEqual(fitted.options, [`lowerdir=${names}`, ...upper]);
    assert.ok(fitted.options.join(",").length < 4096);
  });

  test("does not split names that have colons", () => {
    const odd = `${base}/lower/a\\:b`;
    const fitted = fitOverlayOptions([`lowerdir=${[odd, ...lowers(60)].join(":")}`]);
    assert.match(fitted.options[0] ?? "", /^lowerdir=a\\:b:0:1:/);
  });

  test("leaves alone what has nothing in common", () => {
    const options = [`lowerdir=${[...lowers(60), "/elsewhere"].join(":")}`];
    assert.deepEqual(fitOverlayOptions(options), { directory: "/", options });
  });
});
