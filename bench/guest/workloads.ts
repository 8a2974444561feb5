import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { GuestLayout } from "../../guest/layout.js";

// What is measured in a guest. It is run there by Node.js; the host takes names and sizes from here.

export const BIG_BYTES = 64 << 20;
export const PROGRAM_BYTES = 300 << 20;
export const TREE = { directories: 40, filesEach: 50, fileBytes: 4096 } as const;

const BLOCK_BYTES = 1 << 20;
const PAGE_BYTES = 4096;
const RANDOM_READS = 2000;
const NEW_FILES = 500;
const NEW_FILE_BYTES = 1024;
const WRITTEN_BYTES = 16 << 20;
const APPENDS = 100;
const APPEND_BYTES = 512;

/** Something that a program does with files; its time is taken. */
export interface Workload {
  readonly name: string;
  /** Memory of the guest in MiB, where it matters. */
  readonly memoryMiB?: number;
  /** True: `directory` is empty and may be written to. False: it is what share.ts makes for reading. */
  readonly writes: boolean;
  run(directory: string): void;
}

export const WORKLOADS: readonly Workload[] = [
  { name: "read 64 MiB in order", writes: false, run: (at) => readWhole(join(at, "big"), BLOCK_BYTES) },
  { name: "read 4 KiB at random places, 2,000 times", writes: false, run: readAtRandom },
  { name: "start Node.js", writes: false, run: startNode },
  {
    name: "run a program of 300 MiB in 256 MiB",
    memoryMiB: 256,
    writes: false,
    run: (at) => runProgram(join(at, "program"), []),
  },
  {
    name: "find: list and lstat 2,000 files",
    writes: false,
    run: (at) => visit(join(at, "tree"), fs.lstatSync),
  },
  { name: "grep: read 2,000 files of 4 KiB", writes: false, run: (at) => visit(join(at, "tree"), readSmall) },
  { name: "unpack 500 files of 1 KiB", writes: true, run: unpack },
  { name: "write 16 MiB in order and fsync", writes: true, run: writeInOrder },
  { name: "append 512 bytes and fsync, 100 times", writes: true, run: append },
];

function readWhole(path: string, blockBytes: number): void {
  const block = Buffer.alloc(blockBytes);
  const fd = fs.openSync(path, "r");
  while (fs.readSync(fd, block) > 0);
  fs.closeSync(fd);
}

/** The same places in each run: a linear congruential generator with the constants of POSIX's rand(). */
function readAtRandom(directory: string): void {
  const page = Buffer.alloc(PAGE_BYTES);
  const fd = fs.openSync(join(directory, "big"), "r");
  let state = 1;
  for (let count = 0; count < RANDOM_READS; count++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fff_ffff;
    fs.readSync(fd, page, 0, PAGE_BYTES, ((state >>> 8) % (BIG_BYTES / PAGE_BYTES)) * PAGE_BYTES);
  }
  fs.closeSync(fd);
}

function startNode(directory: string): void {
  const node = `/${GuestLayout.node}`;
  const command = [`${node}/ld.so`, "--library-path", `${node}/lib`, `${node}/node`, "-e", "0"];
  runProgram("/usr/bin/busybox", ["chroot", join(directory, "root"), ...command]);
}

function runProgram(path: string, args: readonly string[]): void {
  const { status, signal, stderr, error } = spawnSync(path, args);
  if (status !== 0) throw error ?? new Error(`${path}: ${status ?? signal} ${stderr}`);
}

function visit(directory: string, each: (file: string) => unknown): void {
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) visit(path, each);
    else each(path);
  }
}

function readSmall(path: string): void {
  if (fs.readFileSync(path).length !== TREE.fileBytes) throw new Error(`${path} is not whole`);
}

function unpack(directory: string): void {
  const content = Buffer.alloc(NEW_FILE_BYTES, "u");
  for (let index = 0; index < NEW_FILES; index++) fs.writeFileSync(join(directory, `f${index}`), content);
}

function writeInOrder(directory: string): void {
  const block = Buffer.alloc(BLOCK_BYTES, "w");
  const fd = fs.openSync(join(directory, "written"), "w");
  for (let bytes = 0; bytes < WRITTEN_BYTES; bytes += BLOCK_BYTES) fs.writeSync(fd, block);
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

function append(directory: string): void {
  const line = Buffer.alloc(APPEND_BYTES, "a");
  const fd = fs.openSync(join(directory, "log"), "a");
  for (let count = 0; count < APPENDS; count++) {
    fs.writeSync(fd, line);
    fs.fsyncSync(fd);
  }
  fs.closeSync(fd);
}
