import assert from "node:assert/strict";
import { it } from "node:test";
import { timeStampCounterKhz } from "./time-stamp-counter.js";

const cpuinfo = (flags: string) =>
  `processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu MHz\t\t: 2445.426\nflags\t\t: fpu ${flags}\n\nprocessor\t: 1\n`;

it("is the processor's frequency where nothing changes that", () => {
  const facts = { cpuinfo: cpuinfo("tsc constant_tsc nonstop_tsc"), isScaled: false };
  assert.equal(timeStampCounterKhz(facts), 2_445_426);
});

it("is not told where the frequency is another thing", () => {
  const constant = cpuinfo("tsc constant_tsc");
  assert.equal(timeStampCounterKhz({ cpuinfo: constant, isScaled: true }), undefined);
  const measured = cpuinfo("tsc constant_tsc aperfmperf");
  assert.equal(timeStampCounterKhz({ cpuinfo: measured, isScaled: false }), undefined);
  assert.equal(timeStampCounterKhz({ cpuinfo: cpuinfo("tsc"), isScaled: false }), undefined);
});

it("is not told by other processors", () => {
  const arm = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\n";
  assert.equal(timeStampCounterKhz({ cpuinfo: arm, isScaled: false }), undefined);
});
