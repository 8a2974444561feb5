import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { install } from "../component.js";
import { findCompiler, SHMEM_PRELOAD, shmemPreloadComponent } from "../components/shmem-preload.js";

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
});

after(() => rm(directory, { recursive: true, force: true }));

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

/**
 * Stands for QEMU: exports what the library looks for, maps the file of argv as a region, and lets go of it. Prints what it was
 * asked for.
 */
const QEMU = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
struct notifier { void *added; void (*removed)(struct notifier *, void *, size_t, size_t); void *resized; void *list[2]; };
static struct notifier *registered;
static char *region;
void ram_block_notifier_add(struct notifier *n) { printf("watch%s ", registered ? " again" : ""); registered = n; }
uint64_t qemu_ram_addr_from_host(void *host) { return host == region ? 0x40000000 : ~(uint64_t)0; }
void tb_invalidate_phys_range(void *cpu, uint64_t first, uint64_t last) {
  printf("forget %s%llx-%llx ", cpu ? "cpu " : "", (unsigned long long)first, (unsigned long long)last);
}
int main(int argc, char **argv) {
  int fd = open(argv[1], O_RDONLY);
  fcntl(fd, F_SETSIG, ${MARK});
  for (int i = 0; i < 2; i++) {
    region = mmap(0, 0x200000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (registered) registered->removed(registered, region, 0x1000, 0x200000);
    if (registered) registered->removed(registered, region + 1, 0x1000, 0x200000);
  }
}
`;

test("QEMU forgets translated code of each region that goes", async () => {
  const program = join(directory, "qemu");
  await writeFile(`${program}.c`, QEMU);
  await promisify(execFile)(await findCompiler(), ["-rdynamic", "-o", program, `${program}.c`]);
  const { stdout } = await promisify(execFile)(program, [file], {
    env: { LD_PRELOAD: join(directory, "lib", SHMEM_PRELOAD) },
  });
  assert.equal(stdout, "watch forget 40000000-401fffff forget 40000000-401fffff ");
});
