import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { Opcode } from "../fuse/constants.js";
import { createFsdState, HANDLE } from "../state.js";
import { serveDirectory } from "../testing/fixture.js";
import { ROOT, u32, u64 } from "../testing/test-guest.js";
import { deviceLimits } from "./state-limits.js";

const DT_DIR = 4;
const DT_REG = 8;
const DT_LNK = 10;

test("entries have the right type, number and offset", (t) => {
  const { dir, guest } = serveDirectory(t);
  writeFileSync(join(dir, "file"), "");
  mkdirSync(join(dir, "directory"));
  symlinkSync("nowhere", join(dir, "link"));
  const entries = new Map(guest.list(ROOT).map((entry) => [entry.name, entry]));
  assert.deepEqual([...entries.keys()].sort(), [".", "..", "directory", "file", "link"]);
  assert.equal(entries.get("file")?.type, DT_REG);
  assert.equal(entries.get("directory")?.type, DT_DIR);
  assert.equal(entries.get("link")?.type, DT_LNK);
  assert.equal(entries.get("file")?.ino, guest.lookup(ROOT, "file").attr.ino);
  assert.equal(entries.get("..")?.ino, statSync(dir, { bigint: true }).ino, "nothing is above the root");
});

for (const plus of [false, true]) {
  for (const [count, size] of [
    [800, 512],
    [5000, 4096],
    [800, 100_000],
  ] as const) {
    test(`${count} entries by ${size} bytes, ${plus ? "READDIRPLUS" : "READDIR"}`, (t) => {
      const { dir, guest, metrics } = serveDirectory(t);
      const names = Array.from({ length: count }, (_, index) => `${"n".repeat(1 + (index % 60))}${index}`);
      for (const name of names) writeFileSync(join(dir, name), "");
      const entries = guest.list(ROOT, size, plus);
      const seen = entries.map((entry) => entry.name).filter((name) => name !== "." && name !== "..");
      assert.deepEqual(seen.sort(), names.sort());
      assert.equal(metrics.inodesLive, plus ? count : 0);
      if (plus) {
        const some = entries.find((entry) => entry.name === names[17]);
        assert.equal(some?.nodeId, guest.lookup(ROOT, names[17] ?? "").nodeId);
        assert.equal(entries.find((entry) => entry.name === ".")?.nodeId, 0n);
      }
    });
  }
}

test("every offset is a place to go on from", (t) => {
  const { dir, guest } = serveDirectory(t);
  for (let index = 0; index < 40; index++) writeFileSync(join(dir, `f${index}`), "");
  const fh = guest.opendir(ROOT);
  const all = guest.readdir(ROOT, fh, 0n, 8192, false);
  for (const [index, entry] of all.entries()) {
    const rest = guest.readdir(ROOT, fh, entry.offset, 8192, false);
    assert.deepEqual(
      rest.map(({ name }) => name),
      all.slice(index + 1).map(({ name }) => name),
    );
  }
  const again = guest.readdir(ROOT, fh, 0n, 8192, false);
  assert.equal(again.length, all.length, "rewinddir");
});

test("removing while reading skips nothing that stays", (t) => {
  const { dir, guest } = serveDirectory(t);
  for (let index = 0; index < 1000; index++) writeFileSync(join(dir, `f${index}`), "");
  const fh = guest.opendir(ROOT);
  const seen = new Set<string>();
  let offset = 0n;
  for (;;) {
    const some = guest.readdir(ROOT, fh, offset, 1024, true);
    if (some.length === 0) break;
    offset = some.at(-1)?.offset ?? 0n;
    for (const { name } of some) {
      seen.add(name);
      if (name.startsWith("f")) unlinkSync(join(dir, name));
    }
  }
  assert.equal(seen.size, 1002);
});

test("a buffer too small for one entry is an error, not the end", (t) => {
  const { guest } = serveDirectory(t);
  const fh = guest.opendir(ROOT);
  const args = (size: number) => [u64(fh, 0n), u32(size, 0), u64(0n), u32(0, 0)];
  assert.equal(guest.send(Opcode.READDIR, ROOT, args(10), 4096).error, "EINVAL");
  assert.equal(guest.send(Opcode.READDIR, ROOT, args(4096), 10).error, "EINVAL");
});

test("a directory that is gone reads as empty, one with a wrong handle not at all", (t) => {
  const { dir, guest } = serveDirectory(t);
  const gone = mkdtempSync(join(dir, "gone-"));
  const { nodeId } = guest.lookup(ROOT, gone.slice(dir.length + 1));
  const fh = guest.opendir(nodeId);
  rmSync(gone, { recursive: true });
  const reply = guest.send(Opcode.READDIR, nodeId, [u64(fh, 0n), u32(4096, 0), u64(0n), u32(0, 0)]);
  assert.ok(reply.error === "ENOENT" || reply.body.length === 0);
  const wrong = guest.send(Opcode.READDIR, ROOT, [u64(fh + 1n, 0n), u32(4096, 0), u64(0n), u32(0, 0)]);
  assert.equal(wrong.error, "EBADF");
});

test("whatever changes meanwhile, what stays is told once", (t) => {
  const { dir, guest } = serveDirectory(t);
  let round = 0;
  const change = fc.record({
    make: fc.array(fc.stringMatching(/^[a-z]{1,40}$/), { maxLength: 30 }),
    remove: fc.array(fc.nat(200), { maxLength: 30 }),
  });
  const property = fc.property(
    fc.uniqueArray(fc.stringMatching(/^[A-Z]{1,40}$/), { minLength: 20, maxLength: 120 }),
    fc.array(change, { minLength: 1, maxLength: 8 }),
    fc.constantFrom(600, 1024, 4096),
    fc.boolean(),
    (staying, changes, size, plus) => {
      const place = `round${round++}`;
      mkdirSync(join(dir, place));
      for (const name of staying) writeFileSync(join(dir, place, name), "");
      const passing: string[] = [];
      const { nodeId } = guest.lookup(ROOT, place);
      const fh = guest.opendir(nodeId);
      const times = new Map(staying.map((name) => [name, 0]));
      let offset = 0n;
      for (let part = 0; ; part++) {
        const entries = guest.readdir(nodeId, fh, offset, size, plus);
        if (entries.length === 0) break;
        offset = entries.at(-1)?.offset ?? 0n;
        for (const { name } of entries) times.set(name, (times.get(name) ?? 0) + 1);
        const { make, remove } = changes[part] ?? { make: [], remove: [] };
        for (const name of make) writeFileSync(join(dir, place, name), "");
        passing.push(...make);
        for (const index of remove) rmSync(join(dir, place, passing[index] ?? "absent"), { force: true });
      }
      guest.call(Opcode.RELEASEDIR, nodeId, [u64(fh), u32(0, 0), u64(0n)]);
      for (const name of staying) assert.equal(times.get(name), 1, name);
    },
  );
  fc.assert(property, { numRuns: 30 });
});

for (const plus of [false, true]) {
  test(`a listing that a worker died of is whole, ${plus ? "READDIRPLUS" : "READDIR"}`, (t) => {
    const state = createFsdState(deviceLimits(0));
    let diesAt: number | undefined;
    /** Nothing is noted any more of how far the descriptor has gone. */
    class Mortal extends DataView<SharedArrayBuffer> {
      override setUint32(offset: number, value: number, isLittle?: boolean): void {
        if (offset % HANDLE.bytes === HANDLE.positionLow && diesAt !== undefined && diesAt-- <= 0)
          throw new Error("dies");
        super.setUint32(offset, value, isLittle);
      }
    }
    const { buffer, byteOffset, byteLength } = state.handles;
    assert.ok(buffer instanceof SharedArrayBuffer);
    const handles = new Mortal(buffer, byteOffset, byteLength);
    const { dir, guest } = serveDirectory(t, { state: { ...state, handles } });
    for (let index = 0; index < 300; index++) writeFileSync(join(dir, `f${index}`), "");
    const fh = guest.opendir(ROOT);
    const wanted = guest.readdir(ROOT, fh, 0n, 65536, plus).map(({ name }) => name);
    assert.equal(wanted.length, 302);
    for (const at of [0, 1]) {
      const first = guest.readdir(ROOT, fh, 0n, 4096, plus);
      const offset = first.at(-1)?.offset ?? 0n;
      diesAt = at;
      assert.throws(() => guest.readdir(ROOT, fh, offset, 4096, plus));
      diesAt = undefined;
      const names = first.map(({ name }) => name);
      for (let next = offset; ; ) {
        const some = guest.readdir(ROOT, fh, next, 4096, plus);
        if (some.length === 0) break;
        names.push(...some.map(({ name }) => name));
        next = some.at(-1)?.offset ?? next;
      }
      assert.deepEqual(names, wanted, `${at}`);
    }
  });
}
