import { BPF_INSTRUCTION_BYTES } from "../bpf.js";

/**
 * Runs an assembled program over `struct seccomp_data` as the kernel does: bpf_check_classic() and the interpreter, for the codes that a
 * seccomp filter may have and that ours has.
 *
 * @param data little-endian, 64 bytes
 * @returns what the program returns
 */
export function runBpf(program: Uint8Array, data: DataView): number {
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  for (let at = 0; at < program.length; ) {
    const jumpTrue = code.getUint8(at + 2);
    const jumpFalse = code.getUint8(at + 3);
    const k = code.getUint32(at + 4, true);
    const instruction = code.getUint16(at, true);
    at += BPF_INSTRUCTION_BYTES;
    const jump = (holds: boolean) => {
      at += BPF_INSTRUCTION_BYTES * (holds ? jumpTrue : jumpFalse);
    };
    switch (instruction) {
      case 0x20: // BPF_LD | BPF_W | BPF_ABS
        accumulator = data.getUint32(k, true);
        break;
      case 0x54: // BPF_ALU | BPF_AND | BPF_K
        accumulator = (accumulator & k) >>> 0;
        break;
      case 0x05: // BPF_JMP | BPF_JA
        at += BPF_INSTRUCTION_BYTES * k;
        break;
      case 0x15: // BPF_JMP | BPF_JEQ | BPF_K
        jump(accumulator === k);
        break;
      case 0x35: // BPF_JMP | BPF_JGE | BPF_K
        jump(accumulator >= k);
        break;
      case 0x06: // BPF_RET | BPF_K
        return k;
      default:
        throw new Error(`code 0x${instruction.toString(16)} at ${at - BPF_INSTRUCTION_BYTES}`);
    }
  }
  throw new Error("ran past the end");
}

/** `struct seccomp_data`: number, architecture, instruction pointer, six arguments. */
export function seccompData(nr: number, auditArch: number, args: readonly bigint[] = []): DataView {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr, true);
  data.setUint32(4, auditArch, true);
  for (const [index, argument] of args.entries()) data.setBigUint64(16 + 8 * index, argument, true);
  return data;
}
