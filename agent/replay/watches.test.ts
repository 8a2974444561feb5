import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseFdinfo, Watches } from "./watches.js";

test("an inotify descriptor's watches, with node ids where the file system is FUSE", () => {
  const text = [
    "pos:\t0",
    "flags:\t02004000",
    "mnt_id:\t15",
    "inotify wd:2 ino:1000000000002a sdev:2d mask:fc6 ignored_mask:0 fhandle-bytes:c fhandle-type:81 f_handle:010000000500000000000000",
    "inotify wd:1 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:7e9e0000640d1b6d",
    "inotify wd:3 ino:5 sdev:100103 mask:2 ignored_mask:0",
    "inotify broken",
    "",
  ].join("\n");
  assert.deepEqual(parseFdinfo(text), [
    { inode: 0x1000000000002an, device: 0x2dn, nodeId: 0x1_0000_0005n },
    { inode: 0x9e7en, device: 0x813n, nodeId: undefined },
    // Minor numbers above 255 stand in two parts in what stat(2) says.
    { inode: 5n, device: (1n << 8n) | (1n << 20n) | 3n, nodeId: undefined },
  ]);
});

test("what this process waits on is found", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-watches-"));
  const watcher = watch(directory);
  t.after(() => {
    watcher.close();
    rmSync(directory, { recursive: true });
  });
  const watches = Watches.read();
  assert.equal(watches.isEmpty, false);
  assert.ok(watches.has(statSync(directory, { bigint: true })));
  assert.equal(watches.has(statSync(tmpdir(), { bigint: true })), false);
});

test("a procfs in which nobody waits, and one that is gone while it is read", (t) => {
  const proc = mkdtempSync(join(tmpdir(), "kata-fs-watches-"));
  t.after(() => rmSync(proc, { recursive: true }));
  assert.ok(Watches.read(proc).isEmpty);
});
