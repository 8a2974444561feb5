import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assembleBpf } from "./bpf.js";
import { compileSeccompFilter, SeccompReturn, type SyscallRule } from "./seccomp-filter.js";
import { type Architecture, type SyscallName, syscallNames, syscallNumber } from "./syscall-number.js";
import { runBpf, seccompData } from "./testing/bpf-machine.js";

const X86_64 = 0xc000_003e;
const AARCH64 = 0xc000_00b7;
const I386 = 0x4000_0003;
const X32_BIT = 0x4000_0000;
const OTHERWISE = SeccompReturn.killProcess;
const { allow } = SeccompReturn;

function filter(rules: readonly SyscallRule[], architecture: Architecture = "x64") {
  const program = assembleBpf(compileSeccompFilter(rules, architecture, OTHERWISE));
  return (nr: number, args: readonly bigint[] = [], arch = X86_64) =>
    runBpf(program, seccompData(nr, arch, args));
}

function numberOf(name: SyscallName, architecture: Architecture = "x64"): number {
  const nr = syscallNumber(name, architecture);
  assert.ok(nr !== undefined);
  return nr;
}

test("whatever calls are allowed, all others are not", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.constantFrom(...syscallNames())), (names) => {
      const verdict = filter(names.map((syscall) => ({ syscall })));
      const allowed = new Set(names.map((name) => numberOf(name)));
      for (let nr = -1; nr < 1024; nr++) {
        assert.equal(verdict(nr >>> 0), allowed.has(nr) ? allow : OTHERWISE, String(nr));
      }
    }),
    { numRuns: 50 },
  );
});

test("calls of another architecture are refused, x32 too", () => {
  const verdict = filter([{ syscall: "read" }, { syscall: "write" }]);
  assert.equal(verdict(numberOf("read")), allow);
  // 0 is restart_syscall there, 1 is exit.
  for (const nr of [0, 1]) assert.equal(verdict(nr, [], I386), OTHERWISE);
  for (const nr of [0, 1]) assert.equal(verdict(nr | X32_BIT), OTHERWISE);
});

test("arm64 has its own numbers, and calls that it lacks are left out", () => {
  const verdict = filter([{ syscall: "openat" }, { syscall: "poll" }], "arm64");
  assert.equal(verdict(56, [], AARCH64), allow);
  assert.equal(verdict(257, [], AARCH64), OTHERWISE);
  assert.equal(verdict(7, [], AARCH64), OTHERWISE);
  assert.equal(verdict(56, [], X86_64), OTHERWISE);
});

test("an argument of 32 bits is compared without its upper half, as the kernel takes it", () => {
  const verdict = filter([{ syscall: "ioctl", where: [{ argument: 1, oneOf: [0x5450, 0x8008_6601] }] }]);
  const ioctl = numberOf("ioctl");
  assert.equal(verdict(ioctl, [0n, 0x8008_6601n]), allow);
  assert.equal(verdict(ioctl, [0n, 0xffff_ffff_8008_6601n]), allow);
  assert.equal(verdict(ioctl, [0x5450n, 0x5412n]), OTHERWISE);
});

test("a pointer is null with all of its bits", () => {
  const verdict = filter([{ syscall: "prlimit64", where: [{ argument: 2, isNull: true }] }]);
  const nr = numberOf("prlimit64");
  assert.equal(verdict(nr, [0n, 7n, 0n]), allow);
  assert.equal(verdict(nr, [0n, 7n, 1n]), OTHERWISE);
  assert.equal(verdict(nr, [0n, 7n, 1n << 32n]), OTHERWISE);
});

test("rules of a call are tried in their order, and all tests of a rule must hold", () => {
  const verdict = filter([
    { syscall: "mmap", where: [{ argument: 2, mask: 4, oneOf: [0] }] },
    {
      syscall: "mmap",
      where: [
        { argument: 3, mask: 0x20, oneOf: [0x20] },
        { argument: 0, isNull: true },
      ],
    },
    { syscall: "mmap", where: [{ argument: 1, oneOf: [4096] }], errno: 13 },
    { syscall: "clone3", errno: 38 },
  ]);
  const mmap = numberOf("mmap");
  assert.equal(verdict(mmap, [9n, 9n, 3n, 0n]), allow);
  assert.equal(verdict(mmap, [0n, 9n, 7n, 0x22n]), allow);
  assert.equal(verdict(mmap, [9n, 9n, 7n, 0x22n]), OTHERWISE);
  assert.equal(verdict(mmap, [9n, 4096n, 7n, 0x02n]), SeccompReturn.errno | 13);
  assert.equal(verdict(numberOf("clone3")), SeccompReturn.errno | 38);
});
