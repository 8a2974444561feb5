import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { mknodat, S_IFREG, unlinkat } from "../../lib/sys/file.js";
import { addressOf, check } from "../../lib/sys/libc.js";
import { openDescriptors } from "../../lib/sys/testing/open-descriptors.js";
import { Opcode } from "../fuse/constants.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { ROOT, type TestGuest, u32, u64 } from "../testing/test-guest.js";

const root = { skip: needsRoot };

const FILES = 1_000_000;
const DESCRIPTORS_MAX = 4096;
const BYTES_PER_INODE_MAX = 300;
const READ_BYTES = 60_000;

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

/** Resident memory of this process without what the test itself has dropped. */
function residentBytes(): number {
  collectGarbage();
  return process.memoryUsage().rss;
}

/** A new directory on a file system of its own that holds many files. */
function mountTmpfs(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-many-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=8g,nr_inodes=0", "kata-fsd-test", dir]);
  t.after(() => {
    execFileSync("umount", ["-l", dir]);
    rmdirSync(dir);
  });
  return dir;
}

const name = Buffer.alloc(16);
const nameAddress = addressOf(name.buffer as ArrayBuffer) + name.byteOffset;
const fileName = (index: number) => `f${index}`;

/** Makes, or removes, the files of those numbers in a directory. */
function change(dir: string, from: number, to: number, step: "make" | "remove"): void {
  const fd = openSync(dir, "r");
  for (let index = from; index < to; index++) {
    name.fill(0);
    name.write(fileName(index));
    if (step === "make") check(mknodat(fd, nameAddress, S_IFREG | 0o644, 0), "mknodat");
    else check(unlinkat(fd, nameAddress, 0), "unlinkat");
  }
  closeSync(fd);
}

/** Has the guest read a directory; `seen` gets each part. */
function read(
  guest: TestGuest,
  nodeId: bigint,
  plus: boolean,
  seen: (entries: ReturnType<TestGuest["readdir"]>) => void,
): void {
  const fh = guest.opendir(nodeId);
  for (let offset = 0n; ; ) {
    const entries = guest.readdir(nodeId, fh, offset, READ_BYTES, plus);
    if (entries.length === 0) break;
    seen(entries);
    offset = entries.at(-1)?.offset ?? 0n;
  }
  guest.call(Opcode.RELEASEDIR, nodeId, [u64(fh), u32(0, 0), u64(0n)]);
}

for (const [inodeFileHandles, files] of [
  ["never", FILES],
  ["prefer", FILES / 4],
] as const) {
  test(
    `file handles ${inodeFileHandles}, a tree of ${files} files: descriptors and memory stay bounded, and come back`,
    root,
    (t) => {
      const share = mountTmpfs(t);
      const directories = 1000;
      const each = files / directories;
      for (let index = 0; index < directories; index++) {
        const dir = join(share, `d${index}`);
        mkdirSync(dir);
        change(dir, 0, each, "make");
      }
      const { guest, metrics } = serveDirectory(t, { root: share, inodeFileHandles });
      const nodes = new BigUint64Array(files + directories);
      let known = 0;
      const memoryBefore = residentBytes();
      const walk = (nodeId: bigint) =>
        read(guest, nodeId, true, (entries) => {
          for (const entry of entries) if (entry.nodeId !== 0n) nodes[known++] = entry.nodeId;
        });
      walk(ROOT);
      for (const nodeId of nodes.slice(0, directories)) walk(nodeId);
      assert.equal(known, files + directories, "no entry came without its inode");
      assert.equal(metrics.inodesLive, files + directories);
      assert.ok(openDescriptors().length < DESCRIPTORS_MAX, `${openDescriptors().length} descriptors`);
      const perInode = (residentBytes() - memoryBefore) / known;
      assert.ok(perInode < BYTES_PER_INODE_MAX, `${perInode} bytes for each inode`);

      for (let index = 0; index < known; index += 101) {
        assert.equal(guest.send(Opcode.GETATTR, nodes[index] ?? 0n, [Buffer.alloc(16)]).error, "");
      }
      assert.ok(openDescriptors().length < DESCRIPTORS_MAX, `${openDescriptors().length} descriptors`);

      for (const nodeId of nodes) guest.forget(nodeId, 1n);
      assert.equal(metrics.inodesLive, 0);
      const left = (residentBytes() - memoryBefore) / known;
      assert.ok(left < perInode / 2, `${left} of ${perInode} bytes are left`);
      t.diagnostic(`${Math.round(perInode)} bytes for each inode; ${Math.round(left)} when it is forgotten`);
    },
  );
}

test(`${FILES} entries in one directory, made and removed around those that stay`, root, (t) => {
  const share = mountTmpfs(t);
  // The last tenth goes while the directory is read, as many others come.
  const staying = FILES * 0.9;
  change(share, 0, FILES, "make");
  const { guest } = serveDirectory(t, { root: share });
  const times = new Uint8Array(staying);
  let parts = 0;
  read(guest, ROOT, false, (entries) => {
    for (const { name } of entries) {
      const index = name.startsWith("f") ? Number(name.slice(1)) : FILES;
      if (index < staying) times[index] = (times[index] ?? 0) + 1;
    }
    const from = staying + 100 * parts;
    if (from < FILES) {
      change(share, from, from + 100, "remove");
      change(share, FILES + 100 * parts, FILES + 100 * (parts + 1), "make");
    }
    parts++;
  });
  assert.ok(parts > 100);
  assert.equal(
    times.findIndex((count) => count !== 1),
    -1,
    "each file that stays is told once",
  );
});
