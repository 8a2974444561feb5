import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openDescriptors } from "../../lib/sys/testing/open-descriptors.js";
import { Opcode } from "../fuse/constants.js";
import { serveDirectory } from "../testing/fixture.js";
import { ROOT, u32, u64 } from "../testing/test-guest.js";

const NO_OPEN_SUPPORT = 1 << 17;

function serve(t: TestContext) {
  return serveDirectory(t, { readOnly: true, cache: "always" }, (dir) => {
    for (let index = 0; index < 100; index++) writeFileSync(join(dir, `f${index}`), `content ${index}`);
  });
}

test("where nothing ever changes, the guest does without OPEN and OPENDIR", (t) => {
  const { guest } = serve(t);
  const { nodeId } = guest.lookup(ROOT, "f1");
  assert.equal(guest.send(Opcode.OPEN, nodeId, [u32(0, 0)]).error, "ENOSYS");
  assert.equal(guest.send(Opcode.OPENDIR, ROOT, [u32(0, 0)]).error, "ENOSYS");
  assert.equal(guest.read(nodeId, 0n, 3, 100).toString(), "tent 1");
  const seek = guest.call(Opcode.LSEEK, nodeId, [u64(0n, 0n), u32(4, 0)]);
  assert.equal(seek.readBigUInt64LE(0), 9n, "SEEK_HOLE");
  let offset = 0n;
  const names: string[] = [];
  for (;;) {
    const some = guest.readdir(ROOT, 0n, offset, 512, false);
    if (some.length === 0) break;
    names.push(...some.map(({ name }) => name));
    offset = some.at(-1)?.offset ?? 0n;
  }
  assert.equal(new Set(names).size, 102);
});

test("what a guest writes without having asked for a handle is refused as on a read-only file system", (t) => {
  const { guest } = serve(t);
  const { nodeId } = guest.lookup(ROOT, "f1");
  const write = (fh: bigint) => [u64(fh, 0n), u32(1, 0), u64(0n), u32(0, 0), Buffer.from("x")];
  assert.equal(guest.send(Opcode.WRITE, nodeId, write(0n)).error, "EROFS");
  assert.equal(guest.send(Opcode.FALLOCATE, nodeId, [u64(0n, 0n, 10n), u32(0, 0)]).error, "EROFS");
  assert.equal(guest.send(Opcode.WRITE, nodeId, write(7n)).error, "EBADF");
});

test("reading without handles holds few descriptors", (t) => {
  const { guest } = serve(t);
  const before = openDescriptors().length;
  const nodes = Array.from({ length: 100 }, (_, index) => guest.lookup(ROOT, `f${index}`).nodeId);
  for (const [index, node] of nodes.entries())
    assert.equal(guest.read(node, 0n, 0, 100).toString(), `content ${index}`);
  assert.equal(openDescriptors().length - before, 100 + 64);
  for (const node of nodes) guest.forget(node, 1n);
  assert.equal(openDescriptors().length, before);
});

test("a guest that needs OPEN has it", (t) => {
  const { guest } = serve(t);
  guest.init(0xffff_ffff & ~NO_OPEN_SUPPORT);
  const { nodeId } = guest.lookup(ROOT, "f1");
  assert.equal(guest.read(nodeId, guest.open(nodeId), 0, 7).toString(), "content");
  const args = [u64(0n, 0n), u32(100, 0), u64(0n), u32(0, 0)];
  assert.equal(guest.send(Opcode.READ, nodeId, args).error, "EBADF");
});

test("elsewhere a handle is needed", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "x");
  const { nodeId } = guest.lookup(ROOT, "file");
  const args = [u64(0n, 0n), u32(100, 0), u64(0n), u32(0, 0)];
  assert.equal(guest.send(Opcode.READ, nodeId, args).error, "EBADF");
  assert.equal(guest.send(Opcode.READDIR, ROOT, args).error, "EBADF");
});
