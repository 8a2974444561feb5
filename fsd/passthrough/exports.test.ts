import assert from "node:assert/strict";
import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  FOPEN_CACHE_DIR,
  FOPEN_DIRECT_IO,
  FOPEN_KEEP_CACHE,
  FOPEN_NOFLUSH,
  Opcode,
} from "../fuse/constants.js";
import { type Fixture, serveDirectory } from "../testing/fixture.js";
import { RecordedWindow } from "../testing/recorded-window.js";
import { cstring, ROOT, u32, u64 } from "../testing/test-guest.js";
import { type ExportOption, POLICY_NAMES, WITHOUT_LIMIT_SECONDS } from "./export-policy.js";

const FILE = Buffer.alloc(8192, "content");

/** A share with a directory for each policy, called like it, and the same in each. */
function serve(t: TestContext, settings: Omit<Partial<ExportOption>, "pattern" | "policy"> = {}): Fixture {
  const exports = POLICY_NAMES.map((policy): ExportOption => ({ pattern: [policy], policy, ...settings }));
  const window = new RecordedWindow(1 << 24);
  return serveDirectory(t, { dax: "inode", daxThresholdBytes: 4096, window, exports }, (dir) => {
    for (const name of POLICY_NAMES) {
      mkdirSync(join(dir, name, "sub"), { recursive: true });
      writeFileSync(join(dir, name, "sub", "file"), FILE);
    }
  });
}

/** What the guest is told about a directory of the share and what is in it. */
function told({ guest }: Fixture, name: string) {
  const directory = guest.lookup(ROOT, name);
  const sub = guest.lookup(directory.nodeId, "sub");
  const file = guest.lookup(sub.nodeId, "file");
  const absent = guest.send(Opcode.LOOKUP, sub.nodeId, [cstring("absent")]);
  const opened = guest.call(Opcode.OPEN, file.nodeId, [u32(0, 0)]);
  const openedDirectory = guest.call(Opcode.OPENDIR, sub.nodeId, [u32(0, 0)]);
  const getattr = guest.call(Opcode.GETATTR, file.nodeId, [Buffer.alloc(16)]);
  assert.equal(file.attrValid, getattr.readUInt32LE(0), "GETATTR says what LOOKUP says");
  return {
    nameOfExport: directory.entryValid,
    entry: file.entryValid,
    attr: file.attrValid,
    negative: absent.error === "ENOENT" ? 0 : absent.body.readUInt32LE(16),
    // Whether FLUSH is left out has nothing to do with what is kept.
    open: opened.readUInt32LE(8) & ~FOPEN_NOFLUSH,
    opendir: openedDirectory.readUInt32LE(8),
    dax: file.attr.flags,
    mkdir: guest.send(Opcode.MKDIR, sub.nodeId, [u32(0o755, 0), cstring("new")]).error,
  };
}

test("each export's replies say how long the guest may keep what", (t) => {
  const share = serve(t);
  const kept = { nameOfExport: 1, dax: 0, mkdir: "" };
  const cached = { open: FOPEN_KEEP_CACHE, opendir: FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR };
  const always = { entry: 86400, attr: 86400, negative: 86400 };
  const nothing = { entry: 0, attr: 0, negative: 0 };
  const second = { entry: 1, attr: 1, negative: 0 };
  const forever = {
    entry: WITHOUT_LIMIT_SECONDS,
    attr: WITHOUT_LIMIT_SECONDS,
    negative: WITHOUT_LIMIT_SECONDS,
  };
  assert.deepEqual(told(share, "immutable"), { ...kept, ...forever, ...cached, dax: 2, mkdir: "EROFS" });
  assert.deepEqual(told(share, "exclusive"), { ...kept, ...forever, ...cached });
  assert.deepEqual(told(share, "shared"), { ...kept, ...second, open: 0, opendir: FOPEN_CACHE_DIR });
  assert.deepEqual(told(share, "never"), { ...kept, ...nothing, open: FOPEN_DIRECT_IO, opendir: 0 });
  assert.deepEqual(told(share, "auto"), { ...kept, ...second, open: 0, opendir: 0 });
  assert.deepEqual(told(share, "always"), { ...kept, ...always, ...cached });
  assert.deepEqual(told(share, "metadata"), { ...kept, ...always, ...cached, open: FOPEN_DIRECT_IO });
});

test("an export's own times, DAX and read-only flag go before its policy's", (t) => {
  const settings = { entrySeconds: 2.5, attrSeconds: 0, negativeSeconds: 3, readOnly: true, dax: 8192 };
  const share = serve(t, settings);
  for (const name of POLICY_NAMES) {
    const { entry, attr, negative, dax, mkdir } = told(share, name);
    const wanted = { entry: 2.5, attr: 0, negative: 3, dax: 2, mkdir: "EROFS" };
    assert.deepEqual({ entry, attr, negative, dax, mkdir }, wanted, name);
  }
});

test("a file that the guest can write to, or that is too small, is not marked for DAX", (t) => {
  for (const dax of [8192, 8193]) {
    const share = serve(t, { dax });
    assert.equal(told(share, "shared").dax, 0, "writable");
    assert.equal(told(share, "immutable").dax, dax === 8192 ? 2 : 0);
  }
});

test("a file of an export without DAX is not mapped, whatever the guest asks for", (t) => {
  const { guest } = serve(t, { readOnly: true });
  const map = (name: string) => {
    const { nodeId } = guest.walk(`${name}/sub/file`);
    const request = u64(0xffff_ffff_ffff_ffffn, 0n, 1n << 21n, 2n, 0n);
    return guest.send(Opcode.SETUPMAPPING, nodeId, [request]).error;
  };
  assert.equal(map("shared"), "ENOTSUP");
  assert.equal(map("immutable"), "");
});

test("what a guest keeps of an unchanged directory of a shared export it may go on using", async (t) => {
  const { guest, dir } = serve(t);
  const { nodeId } = guest.walk("shared/sub");
  const opendir = () => guest.call(Opcode.OPENDIR, nodeId, [u32(0, 0)]).readUInt32LE(8);
  assert.equal(opendir(), FOPEN_CACHE_DIR);
  // A change may leave the time of the one before: only after a while an equal time means that there was none.
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 10_000 });
  assert.equal(opendir(), FOPEN_CACHE_DIR);
  assert.equal(opendir(), FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE);
  writeFileSync(join(dir, "shared", "sub", "new"), "");
  assert.equal(opendir(), FOPEN_CACHE_DIR);
});

test("entries are not moved or linked from one export to another", (t) => {
  const { guest } = serve(t);
  const file = guest.walk("shared/sub/file").nodeId;
  const from = guest.walk("shared/sub").nodeId;
  const to = guest.walk("exclusive/sub").nodeId;
  const link = guest.send(Opcode.LINK, to, [u64(file), cstring("linked")]);
  const rename = guest.send(Opcode.RENAME, from, [u64(to), cstring("file"), cstring("moved")]);
  const exchange = guest.send(Opcode.RENAME2, from, [u64(to), u32(2, 0), cstring("file"), cstring("file")]);
  assert.deepEqual([link.error, rename.error, exchange.error], ["EXDEV", "EXDEV", "EXDEV"]);
  const renameRoot = guest.send(Opcode.RENAME, ROOT, [u64(ROOT), cstring("shared"), cstring("other")]);
  assert.equal(renameRoot.error, "EXDEV", "nor out of it by a name of its own");
  assert.equal(guest.send(Opcode.LINK, from, [u64(file), cstring("linked")]).error, "");
  assert.equal(guest.send(Opcode.RENAME, from, [u64(from), cstring("linked"), cstring("moved")]).error, "");
});

test("a file with names in two exports is two to the guest, each with its policy", (t) => {
  const { guest, dir } = serve(t);
  linkSync(join(dir, "shared", "sub", "file"), join(dir, "immutable", "sub", "again"));
  const shared = guest.walk("shared/sub/file");
  const immutable = guest.walk("immutable/sub/again");
  assert.equal(shared.attr.ino, immutable.attr.ino);
  assert.notEqual(shared.nodeId, immutable.nodeId);
  assert.deepEqual([shared.attrValid, immutable.attrValid], [1, WITHOUT_LIMIT_SECONDS]);
});

test("OPEN is done without only where all exports are immutable", (t) => {
  const immutable: ExportOption = { pattern: [], policy: "immutable" };
  const opened = (exports: readonly ExportOption[]) => {
    const { guest, dir } = serveDirectory(t, { exports });
    writeFileSync(join(dir, "file"), "");
    return guest.send(Opcode.OPEN, guest.lookup(ROOT, "file").nodeId, [u32(0, 0)]).error;
  };
  assert.equal(opened([immutable]), "ENOSYS");
  assert.equal(opened([immutable, { pattern: ["volume"], policy: "shared" }]), "");
  assert.equal(opened([]), "");
});
