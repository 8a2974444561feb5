/**
 * Assembler for classic BPF programs: Documentation/networking/filter.rst of the kernel. Only what programs over
 * `struct seccomp_data` need. Jumps go forward, to labels.
 */
export type BpfInstruction =
  | { readonly op: "label"; readonly label: string }
  /** A ← the 32-bit word at this offset of the data. */
  | { readonly op: "load"; readonly offset: number }
  /** A ← A & k. */
  | { readonly op: "and"; readonly k: number }
  | { readonly op: "jump"; readonly to: string }
  /** Goes on at `ifTrue` or `ifFalse`, each by default the next instruction. Comparisons are unsigned. */
  | {
      readonly op: "jump-if-equal" | "jump-if-not-less";
      readonly k: number;
      readonly ifTrue?: string;
      readonly ifFalse?: string;
    }
  | { readonly op: "return"; readonly k: number };

/** A program that cannot be encoded. */
export class BpfError extends Error {
  override readonly name = "BpfError";
}

/** Bytes of `struct sock_filter`: code 2, jt 1, jf 1, k 4. */
export const BPF_INSTRUCTION_BYTES = 8;
/** BPF_MAXINSNS. */
const INSTRUCTIONS_MAX = 4096;
/** `jt` and `jf` have 8 bits. */
const CONDITIONAL_JUMP_MAX = 255;

/** Class, size, mode, operation and source of linux/bpf_common.h, put together. */
const Code = {
  load: 0x00 | 0x00 | 0x20,
  and: 0x04 | 0x50 | 0x00,
  jump: 0x05 | 0x00 | 0x00,
  "jump-if-equal": 0x05 | 0x10 | 0x00,
  "jump-if-not-less": 0x05 | 0x30 | 0x00,
  return: 0x06 | 0x00 | 0x00,
} as const;

/** Encodes a program as an array of `struct sock_filter`, little-endian. @throws BpfError */
export function assembleBpf(program: readonly BpfInstruction[]): Uint8Array {
  const labels = placeLabels(program);
  const instructions = program.filter((instruction) => instruction.op !== "label");
  if (instructions.length > INSTRUCTIONS_MAX) {
    throw new BpfError(`${instructions.length} instructions; ${INSTRUCTIONS_MAX} are the most`);
  }
  const last = instructions.at(-1);
  if (last?.op !== "return") throw new BpfError("a program ends with a return");
  const view = new DataView(new ArrayBuffer(instructions.length * BPF_INSTRUCTION_BYTES));
  for (const [index, instruction] of instructions.entries()) {
    const distance = (label: string | undefined) => {
      if (label === undefined) return 0;
      const target = labels.get(label);
      if (target === undefined) throw new BpfError(`label ${label} is nowhere`);
      if (target <= index) throw new BpfError(`label ${label} lies behind: there are no loops`);
      return target - index - 1;
    };
    let [whenTrue, whenFalse, k] = [0, 0, 0];
    switch (instruction.op) {
      case "load":
        k = instruction.offset;
        break;
      case "jump":
        k = distance(instruction.to);
        break;
      case "jump-if-equal":
      case "jump-if-not-less":
        whenTrue = distance(instruction.ifTrue);
        whenFalse = distance(instruction.ifFalse);
        k = instruction.k;
        break;
      default:
        k = instruction.k;
    }
    if (Math.max(whenTrue, whenFalse) > CONDITIONAL_JUMP_MAX) {
      throw new BpfError(`a conditional jump over ${Math.max(whenTrue, whenFalse)} instructions`);
    }
    const at = index * BPF_INSTRUCTION_BYTES;
    view.setUint16(at, Code[instruction.op], true);
    view.setUint8(at + 2, whenTrue);
    view.setUint8(at + 3, whenFalse);
    view.setUint32(at + 4, k >>> 0, true);
  }
  return new Uint8Array(view.buffer);
}

/** The index of the instruction after each label. */
function placeLabels(program: readonly BpfInstruction[]): Map<string, number> {
  const labels = new Map<string, number>();
  let index = 0;
  for (const instruction of program) {
    if (instruction.op !== "label") index++;
    else if (labels.has(instruction.label)) throw new BpfError(`label ${instruction.label} is there twice`);
    else labels.set(instruction.label, index);
  }
  return labels;
}
