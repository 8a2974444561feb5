import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { install } from "../component.js";
import { SHMEM_PRELOAD, shmemPreloadComponent } from "../components/shmem-preload.js";

const here = dirname(fileURLToPath(import.meta.url));

/**
 * Does with a file what QEMU does with the descriptor of a map, in a process that has the library preloaded, and prints
 * what came of it. argv: file, open flags, signal for F_SETSIG (0: none).
 */
const PROBE = `
const koffi = require("koffi");
const libc = koffi.load(null); // As the dynamic linker resolves names: the preloaded library comes first.
const fcntl = libc.func("int fcntl(int, int, int)");
const mmap = libc.func("int64_t mmap64(uintptr_t, size_t, int, int, int, int64_t)");
const lseek = libc.func("int64_t lseek64(int, int64_t, int)");
const fs = require("node:fs");
const [file, flags, signal] = process.argv.slice(1);
const fd = fs.openSync(file, Number(flags));
if (Number(signal) !== 0) fcntl(fd, 10, Number(signal));
const PROT_READ_WRITE = 3;
const map = (sharing) => {
  const address = mmap(0, 2 << 20, PROT_READ_WRITE, sharing, fd, 0);
  if (address === -1) return "refused";
  const start = address.toString(16) + "-";
  const line = fs.readFileSync("/proc/self/maps", "latin1").split("\\n").find((line) => line.startsWith(start));
  return line.split(" ")[1];
};
console.log(JSON.stringify({ shared: map(1), private: map(2), end: Number(lseek(fd, 0, 2)), start: lseek(fd, 5, 0) }));
`;

let directory: string;
let file: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "kata-fs-test-"));
  file = join(directory, "file");
  await writeFile(file, "contents");
  const quiet = { step: () => ({ update() {}, done() {} }) };
  await install(await shmemPreloadComponent(join(directory, "lib"), join(here, "shmem-preload.c")), quiet);
  return () => rm(directory, { recursive: true });
});

const O_RDONLY = 0;
const O_RDWR = 2;
const MARK = 61;

async function probe(flags: number, signal: number): Promise<Record<string, unknown>> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["-e", PROBE, file, String(flags), String(signal)],
    { cwd: here, env: { ...process.env, LD_PRELOAD: join(directory, "lib", SHMEM_PRELOAD) } },
  );
  return JSON.parse(stdout);
}

test("a marked read-only descriptor is mapped read-only and has no end", async () => {
  assert.deepEqual(await probe(O_RDONLY, MARK), { shared: "r--s", private: "rw-p", end: 2 ** 62, start: 5 });
});

test("a read-only descriptor without the mark is refused as ever", async () => {
  assert.deepEqual(await probe(O_RDONLY, 0), { shared: "refused", private: "rw-p", end: 8, start: 5 });
});

test("another signal is no mark", async () => {
  assert.deepEqual(await probe(O_RDONLY, MARK - 1), { shared: "refused", private: "rw-p", end: 8, start: 5 });
});

test("a writable descriptor is mapped as ever, marked or not", async () => {
  assert.deepEqual(await probe(O_RDWR, MARK), { shared: "rw-s", private: "rw-p", end: 8, start: 5 });
});
