import { assembleBpf, BPF_INSTRUCTION_BYTES, type BpfInstruction } from "./bpf.js";
import { bindLazily, check, permanentAddressOf } from "./libc.js";
import { type Architecture, syscallNumber } from "./syscall-number.js";

const syscall = bindLazily<(nr: number, operation: number, flags: number, program: number) => number>(
  "int64_t syscall(int64_t nr, uint64_t operation, uint64_t flags, uintptr_t program)",
);

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
/** struct sock_fprog: the length in instructions, padding, the address. */
const SOCK_FPROG_BYTES = 16;

/**
 * Installs a filter on all threads of the process, for good. With it no_new_privs, which must be set on the calling thread, comes to all
 * of them.
 *
 * @throws SysError; EACCES without no_new_privs
 */
export function installSeccompFilter(program: readonly BpfInstruction[], architecture: Architecture): void {
  const instructions = assembleBpf(program);
  const header = new DataView(new ArrayBuffer(SOCK_FPROG_BYTES));
  header.setUint16(0, instructions.length / BPF_INSTRUCTION_BYTES, true);
  header.setBigUint64(8, BigInt(permanentAddressOf(instructions)), true);
  const nr = syscallNumber("seccomp", architecture) ?? -1;
  const result = syscall(nr, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, permanentAddressOf(header));
  check(result, "seccomp", "SECCOMP_SET_MODE_FILTER");
  // A positive result is the id of a thread whose own filter is in the way.
  if (result > 0) throw new Error(`seccomp: thread ${result} has a filter of its own`);
}
