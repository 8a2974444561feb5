import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mount } from "./facts.js";
import { judge, type Measurements } from "./proof.js";
import { SAMPLE_BYTES } from "./sample-file.js";

const LAYERS = "/run/kata-containers/shared/own/demo/lower";
const ROOT: Mount = {
  point: "/",
  type: "overlay",
  source: "overlay",
  options: ["rw", `lowerdir=${LAYERS}/0:${LAYERS}/1`, "upperdir=/u", "workdir=/w"],
};
const GOOD: Measurements = {
  dax: true,
  hostKernel: "6.1.0-host",
  sampleMd5: "0123",
  guest: { kernel: "6.12.0-guest", mounts: [ROOT], sampleMd5: "0123", pageCacheGrowthBytes: 4096 },
  report: {
    accelerator: "tcg",
    qemu: "11.1.3",
    phasesMs: { shimStart: 1, daemon: 1, qemu: 1, kernelToAgent: 1, containerStart: 1, total: 5 },
    share: { readBytes: 10_000, mappedRanges: 80, mappedBytes: SAMPLE_BYTES },
  },
};

/** The titles of the claims that do not hold. */
function failures(measurements: Measurements): string[] {
  return judge(measurements).flatMap(({ title, holds }) => (holds ? [] : [title]));
}

function withGuest(guest: Partial<Measurements["guest"]>): Measurements {
  return { ...GOOD, guest: { ...GOOD.guest, ...guest } };
}

function withShare(share: Partial<Measurements["report"]["share"]>): Measurements {
  return { ...GOOD, report: { ...GOOD.report, share: { ...GOOD.report.share, ...share } } };
}

test("a good run: every claim holds", () => {
  assert.deepEqual(failures(GOOD), []);
});

test("overlay layers shown one by one, as new kernels do", () => {
  const options = [`lowerdir+=${LAYERS}/0`, `lowerdir+=${LAYERS}/1`];
  assert.deepEqual(failures(withGuest({ mounts: [{ ...ROOT, options }] })), []);
});

test("without DAX only the other claims are made", () => {
  const report = { ...GOOD.report, share: { readBytes: SAMPLE_BYTES, mappedRanges: 0, mappedBytes: 0 } };
  const guest = { ...GOOD.guest, pageCacheGrowthBytes: SAMPLE_BYTES };
  assert.deepEqual(failures({ ...GOOD, dax: false, guest, report }), []);
  assert.deepEqual(failures({ ...GOOD, dax: false, guest: { ...guest, mounts: [] }, report }), ["root"]);
});

test("each claim fails by its own measurement", () => {
  assert.deepEqual(failures(withGuest({ kernel: GOOD.hostKernel })), ["kernel"]);
  assert.deepEqual(failures(withGuest({ mounts: [] })), ["root"]);
  assert.deepEqual(failures(withGuest({ mounts: [{ ...ROOT, options: ["lowerdir=/a:/b"] }] })), ["root"]);
  assert.deepEqual(failures(withGuest({ sampleMd5: "4567" })), ["contents"]);
  assert.deepEqual(failures(withShare({ mappedRanges: 0 })), ["DAX"]);
  assert.deepEqual(failures(withShare({ mappedBytes: SAMPLE_BYTES - 1 })), ["DAX"]);
  assert.deepEqual(failures(withShare({ readBytes: SAMPLE_BYTES })), ["DAX"]);
  assert.deepEqual(failures(withGuest({ pageCacheGrowthBytes: SAMPLE_BYTES })), ["page cache"]);
});
