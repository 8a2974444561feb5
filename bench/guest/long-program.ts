import { closeSync, openSync, writeSync } from "node:fs";

const PAGE_BYTES = 4096;
const LOAD_ADDRESS = 0x40_0000n;
const CHUNK_PAGES = 1024;
/** jmp rel32 (E9), to as far behind itself as the next page is. */
const JUMP = Buffer.from([0xe9, 0, 0, 0, 0]);
JUMP.writeInt32LE(PAGE_BYTES - JUMP.length, 1);
/** mov $60, %eax; xor %edi, %edi; syscall: exit(0). */
const EXIT = Buffer.from([0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]);

const [ELF_HEADER_BYTES, PROGRAM_HEADER_BYTES] = [64, 56];
const [ET_EXEC, EM_X86_64, PT_LOAD, PF_R_X] = [2, 62, 1, 5];

/** Makes an x86-64 program of so many bytes (a multiple of 4 MiB) that runs through each of its pages once, and succeeds. */
export function writeLongProgram(path: string, bytes: number): void {
  const fd = openSync(path, "w", 0o755);
  const chunk = Buffer.alloc(CHUNK_PAGES * PAGE_BYTES);
  for (let page = 0; page < CHUNK_PAGES; page++) JUMP.copy(chunk, page * PAGE_BYTES);
  for (let at = 0; at < bytes; at += chunk.length) writeSync(fd, chunk, 0, chunk.length, at);
  writeSync(fd, header(bytes), 0, ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES, 0);
  writeSync(fd, EXIT, 0, EXIT.length, bytes - PAGE_BYTES);
  closeSync(fd);
}

/** Elf64_Ehdr and one Elf64_Phdr (elf(5)): the whole file is loaded, and begins at its second page. */
function header(bytes: number): Buffer {
  const elf = Buffer.alloc(ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES);
  // e_ident: the mark, ELFCLASS64, ELFDATA2LSB, EV_CURRENT.
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  elf.writeUInt16LE(ET_EXEC, 16);
  elf.writeUInt16LE(EM_X86_64, 18);
  elf.writeUInt32LE(1, 20);
  elf.writeBigUInt64LE(LOAD_ADDRESS + BigInt(PAGE_BYTES), 24);
  elf.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32);
  elf.writeUInt16LE(ELF_HEADER_BYTES, 52);
  elf.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  elf.writeUInt16LE(1, 56);
  elf.writeUInt32LE(PT_LOAD, ELF_HEADER_BYTES);
  elf.writeUInt32LE(PF_R_X, ELF_HEADER_BYTES + 4);
  elf.writeBigUInt64LE(LOAD_ADDRESS, ELF_HEADER_BYTES + 16);
  elf.writeBigUInt64LE(LOAD_ADDRESS, ELF_HEADER_BYTES + 24);
  elf.writeBigUInt64LE(BigInt(bytes), ELF_HEADER_BYTES + 32);
  elf.writeBigUInt64LE(BigInt(bytes), ELF_HEADER_BYTES + 40);
  elf.writeBigUInt64LE(BigInt(PAGE_BYTES), ELF_HEADER_BYTES + 48);
  return elf;
}
