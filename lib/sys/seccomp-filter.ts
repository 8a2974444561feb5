import type { BpfInstruction } from "./bpf.js";
import { type Architecture, type SyscallName, syscallNumber } from "./syscall-number.js";

/** What a filter looks at: one argument of the call, numbered from 0. */
export type ArgumentTest =
  /** The lower 32 bits, less those that `mask` lacks, are one of these. For arguments that the kernel itself takes as 32 bits. */
  | { readonly argument: number; readonly mask?: number; readonly oneOf: readonly number[] }
  /** All 64 bits are zero: a null pointer. */
  | { readonly argument: number; readonly isNull: true };

/** One way in which a system call is let through, or refused with an errno instead of the filter's action. */
export interface SyscallRule {
  readonly syscall: SyscallName;
  /** All of them must hold; if one does not, the next rule of the same call is tried. */
  readonly where?: readonly ArgumentTest[];
  /** The call is not made and fails with this. */
  readonly errno?: number;
}

/** SECCOMP_RET_*: linux/seccomp.h. */
export const SeccompReturn = {
  killProcess: 0x8000_0000,
  trap: 0x0003_0000,
  errno: 0x0005_0000,
  log: 0x7ffc_0000,
  allow: 0x7fff_0000,
} as const;

/** AUDIT_ARCH_*: ELF machine, 64 bits, little-endian. */
const AUDIT_ARCH: Readonly<Record<Architecture, number>> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };

/** struct seccomp_data, little-endian. */
const DATA = { nr: 0, arch: 4, args: 16 } as const;
const ARGUMENT_BYTES = 8;

/** What a filter is made of when all numbers are known: one entry for each system call with rules. */
interface Branch {
  readonly nr: number;
  readonly rules: readonly SyscallRule[];
}

/**
 * The program that lets the calls through that the rules name, and gives all others `otherwise`: calls of another
 * architecture as well, whose numbers mean something else. The x32 calls of x86-64 have numbers of 2³⁰ and more, which no
 * rule has.
 *
 * The numbers are found by bisection. The kernel asks the program once, when it is installed, which calls it always allows, and does
 * not run it for those again (since Linux 5.11).
 *
 * @param otherwise a SECCOMP_RET value
 */
export function compileSeccompFilter(
  rules: readonly SyscallRule[],
  architecture: Architecture,
  otherwise: number,
): BpfInstruction[] {
  const compiler = new FilterCompiler(otherwise);
  return compiler.compile(branchesOf(rules, architecture), AUDIT_ARCH[architecture]);
}

/** The rules by number, ascending; without those for calls that the architecture does not have. */
function branchesOf(rules: readonly SyscallRule[], architecture: Architecture): Branch[] {
  const byNumber = new Map<number, SyscallRule[]>();
  for (const rule of rules) {
    const nr = syscallNumber(rule.syscall, architecture);
    if (nr === undefined) continue;
    const known = byNumber.get(nr);
    if (known === undefined) byNumber.set(nr, [rule]);
    else known.push(rule);
  }
  return [...byNumber].map(([nr, ofNumber]) => ({ nr, rules: ofNumber })).sort((a, b) => a.nr - b.nr);
}

class FilterCompiler {
  readonly #program: BpfInstruction[] = [];
  #labels = 0;

  constructor(private readonly otherwise: number) {}

  compile(branches: readonly Branch[], auditArch: number): BpfInstruction[] {
    this.#program.push(
      { op: "load", offset: DATA.arch },
      { op: "jump-if-equal", k: auditArch, ifTrue: "known" },
      { op: "return", k: this.otherwise },
      { op: "label", label: "known" },
      { op: "load", offset: DATA.nr },
    );
    this.#bisect(branches);
    return this.#program;
  }

  /** A holds the number. */
  #bisect(branches: readonly Branch[]): void {
    const [only] = branches;
    if (only === undefined) {
      this.#return(this.otherwise);
      return;
    }
    if (branches.length === 1) {
      const other = this.#label();
      this.#unless({ op: "jump-if-equal", k: only.nr }, other);
      this.#decide(only.rules);
      this.#program.push({ op: "label", label: other });
      this.#return(this.otherwise);
      return;
    }
    const middle = branches.length >> 1;
    const upper = this.#label();
    // Only an unconditional jump reaches farther than 255 instructions.
    this.#program.push(
      { op: "jump-if-not-less", k: branches[middle]?.nr ?? 0, ifFalse: `${upper} not` },
      { op: "jump", to: upper },
      { op: "label", label: `${upper} not` },
    );
    this.#bisect(branches.slice(0, middle));
    this.#program.push({ op: "label", label: upper });
    this.#bisect(branches.slice(middle));
  }

  /** Applies the first rule that holds. */
  #decide(rules: readonly SyscallRule[]): void {
    for (const { where = [], errno } of rules) {
      const next = this.#label();
      for (const test of where) this.#test(test, next);
      this.#return(errno === undefined ? SeccompReturn.allow : SeccompReturn.errno | errno);
      if (where.length === 0) return;
      this.#program.push({ op: "label", label: next });
    }
    this.#return(this.otherwise);
  }

  /** Goes to `failed` unless the test holds. */
  #test(test: ArgumentTest, failed: string): void {
    const low = DATA.args + test.argument * ARGUMENT_BYTES;
    this.#program.push({ op: "load", offset: low });
    if ("isNull" in test) {
      this.#unless({ op: "jump-if-equal", k: 0 }, failed);
      this.#program.push({ op: "load", offset: low + 4 });
      this.#unless({ op: "jump-if-equal", k: 0 }, failed);
      return;
    }
    if (test.mask !== undefined) this.#program.push({ op: "and", k: test.mask });
    const passed = this.#label();
    for (const k of test.oneOf) this.#program.push({ op: "jump-if-equal", k, ifTrue: passed });
    this.#program.push({ op: "jump", to: failed }, { op: "label", label: passed });
  }

  #unless(condition: { op: "jump-if-equal"; k: number }, failed: string): void {
    const holds = this.#label();
    this.#program.push(
      { ...condition, ifTrue: holds },
      { op: "jump", to: failed },
      { op: "label", label: holds },
    );
  }

  #return(k: number): void {
    this.#program.push({ op: "return", k });
  }

  #label(): string {
    return `label ${++this.#labels}`;
  }
}
