import assert from "node:assert/strict";
import { test } from "node:test";
import { assembleBpf, type BpfInstruction } from "./bpf.js";

const ALLOW = { op: "return", k: 0x7fff_0000 } as const;

test("instructions are encoded as struct sock_filter", () => {
  const program: BpfInstruction[] = [
    { op: "load", offset: 4 },
    { op: "jump-if-equal", k: 0xc000_003e, ifFalse: "other" },
    { op: "and", k: 0xff },
    { op: "jump-if-not-less", k: 7, ifTrue: "other", ifFalse: "this" },
    { op: "label", label: "this" },
    { op: "jump", to: "end" },
    { op: "label", label: "other" },
    { op: "return", k: 0x8000_0000 },
    { op: "label", label: "end" },
    ALLOW,
  ];
  // As the C macros BPF_STMT and BPF_JUMP make them: code, jt, jf, k.
  const expected = [
    [0x20, 0, 0, 4],
    [0x15, 0, 3, 0xc000_003e],
    [0x54, 0, 0, 0xff],
    [0x35, 1, 0, 7],
    [0x05, 0, 0, 1],
    [0x06, 0, 0, 0x8000_0000],
    [0x06, 0, 0, 0x7fff_0000],
  ];
  const bytes = assembleBpf(program);
  const view = new DataView(bytes.buffer);
  const decoded = expected.map((_, index) => [
    view.getUint16(8 * index, true),
    view.getUint8(8 * index + 2),
    view.getUint8(8 * index + 3),
    view.getUint32(8 * index + 4, true),
  ]);
  assert.deepEqual(decoded, expected);
  assert.equal(bytes.length, 8 * expected.length);
});

const WRONG: readonly [why: string, program: BpfInstruction[], message: RegExp][] = [
  ["no end", [{ op: "load", offset: 0 }], /ends with a return/],
  ["no instruction", [], /ends with a return/],
  ["a label that is missing", [{ op: "jump", to: "x" }, ALLOW], /x is nowhere/],
  ["a label twice", [{ op: "label", label: "x" }, { op: "label", label: "x" }, ALLOW], /x is there twice/],
  ["a loop", [{ op: "label", label: "x" }, { op: "jump", to: "x" }, ALLOW], /no loops/],
  [
    "a conditional jump that is too far",
    [
      { op: "jump-if-equal", k: 0, ifTrue: "x" },
      ...Array.from({ length: 256 }, () => ALLOW),
      { op: "label", label: "x" },
      ALLOW,
    ],
    /over 256 instructions/,
  ],
  ["more than the kernel takes", Array.from({ length: 4097 }, () => ALLOW), /4097 instructions/],
];

for (const [why, program, message] of WRONG) {
  test(`${why} is refused`, () => {
    assert.throws(() => assembleBpf(program), { name: "BpfError", message });
  });
}
