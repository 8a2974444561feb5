import { Opcode } from "./constants.js";

const names = new Map<number, string>(
  Object.entries(Opcode).map(([name, opcode]) => [opcode, `FUSE_${name}`]),
);

/** The kernel's name of an operation, or its number. */
export function opcodeName(opcode: number): string {
  return names.get(opcode) ?? `operation ${opcode}`;
}
