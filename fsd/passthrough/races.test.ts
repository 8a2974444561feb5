import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { ENTRY_OUT_BYTES, Opcode } from "../fuse/constants.js";
import { serveDirectory } from "../testing/fixture.js";
import { cstring, ROOT, readEntry, u32, u64 } from "../testing/test-guest.js";

const ROUNDS = 1500;
const SECRET = "a secret of the host";
const O_RDWR = 2;
const O_CREAT = 0o100;

/**
 * The host's side, in a second thread: `x` is by turns a directory and a link out of the share, `f` a file and a link to the canary, and
 * directories move to other places while the guest is in them.
 */
const HOST = `
const { workerData } = require("node:worker_threads");
const { renameSync } = require("node:fs");
const { dir, stop } = workerData;
const flag = new Int32Array(stop);
const move = (from, to) => renameSync(dir + "/" + from, dir + "/" + to);
for (let turn = 0; Atomics.load(flag, 0) === 0; turn++) {
  for (const name of ["x", "f"]) {
    move(name, name + ".kept");
    move(name + ".link", name);
    move(name, name + ".link");
    move(name + ".kept", name);
  }
  move("deep/one/two", "two");
  move("two", "deep/one/two");
  Atomics.store(flag, 1, turn);
}
`;

test("what the host swaps for links while the guest resolves leads nowhere out of the share", async (t) => {
  const { dir, outside, guest, errors } = serveDirectory(t, { cache: "never" }, (share) => {
    mkdirSync(join(share, "..", "around"));
    writeFileSync(join(share, "..", "around", "f"), SECRET, { mode: 0o600 });
    mkdirSync(join(share, "x"));
    writeFileSync(join(share, "x", "f"), "inside");
    symlinkSync("../around", join(share, "x.link"));
    writeFileSync(join(share, "f"), "inside");
    symlinkSync("../around/f", join(share, "f.link"));
    mkdirSync(join(share, "deep", "one", "two"), { recursive: true });
    writeFileSync(join(share, "deep", "one", "two", "f"), "inside");
  });
  const canary = join(outside, "around", "f");
  const before = statSync(canary);
  const stop = new SharedArrayBuffer(8);
  const flag = new Int32Array(stop);
  const worker = new Worker(HOST, { eval: true, workerData: { dir, stop } });
  const ended = once(worker, "exit");
  t.after(() => worker.terminate());
  while (Atomics.load(flag, 1) === 0) await Promise.race([ended, setTimeout(5)]);
  const turnsBefore = Atomics.load(flag, 1);

  let resolved = 0;
  let lost = 0;
  const seen = (bytes: Buffer) => assert.equal(bytes.indexOf(SECRET), -1, "the canary is not shown");
  const lookup = (parent: bigint, name: string): bigint => {
    const { error, body } = guest.send(Opcode.LOOKUP, parent, [cstring(name)]);
    if (error !== "") {
      lost++;
      return 0n;
    }
    resolved++;
    return readEntry(body).nodeId;
  };
  /** Does to a node what would show or touch what is behind it. */
  const use = (node: bigint, name: string): void => {
    const opened = guest.send(Opcode.OPEN, node, [u32(O_RDWR, 0)]);
    if (opened.error === "") {
      const fh = opened.body.readBigUInt64LE(0);
      seen(guest.send(Opcode.READ, node, [u64(fh, 0n), u32(100, 0), u64(0n), u32(0, 0)], 100).body);
      guest.write(node, fh, 0, Buffer.from("guest"));
      guest.release(node, fh);
    }
    guest.send(Opcode.SETATTR, node, [
      u32(1, 0),
      u64(0n, 0n, 0n, 0n, 0n, 0n),
      u32(0, 0, 0, 0o640, 0, 0, 0, 0),
    ]);
    const created = guest.send(Opcode.CREATE, node, [u32(O_RDWR | O_CREAT, 0o644, 0, 0), cstring(name)]);
    if (created.error === "") {
      const { nodeId } = readEntry(created.body);
      guest.release(nodeId, created.body.readBigUInt64LE(ENTRY_OUT_BYTES));
      guest.forget(nodeId, 1n);
    }
    const made = guest.send(Opcode.MKDIR, node, [u32(0o755, 0), cstring(`${name}.d`)]);
    if (made.error === "") guest.forget(readEntry(made.body).nodeId, 1n);
    guest.send(Opcode.UNLINK, node, [cstring(name)]);
    guest.send(Opcode.RMDIR, node, [cstring(`${name}.d`)]);
  };
  for (let round = 0; round < ROUNDS; round++) {
    const x = lookup(ROOT, "x");
    if (x !== 0n) {
      const inner = lookup(x, "f");
      if (inner !== 0n) use(inner, "new");
      use(x, "new");
      seen(guest.send(Opcode.READLINK, x, []).body);
    }
    const f = lookup(ROOT, "f");
    if (f !== 0n) use(f, "new");
    const deep = lookup(ROOT, "deep");
    const one = deep === 0n ? 0n : lookup(deep, "one");
    const two = one === 0n ? 0n : lookup(one, "two");
    if (two !== 0n) use(two, "new");
    for (const node of [x, f, deep, one, two]) if (node !== 0n) guest.forget(node, 1n);
  }
  const turns = Atomics.load(flag, 1) - turnsBefore;
  Atomics.store(flag, 0, 1);
  // Not before its last turn is over: the directory is removed at the end of the test.
  assert.deepEqual(await ended, [0]);
  assert.ok(
    resolved > 0 && lost > 0 && turns > 10,
    `${resolved} found, ${lost} lost, ${turns} turns: both worked`,
  );
  assert.equal(readFileSync(canary, "utf8"), SECRET);
  const after = statSync(canary);
  assert.deepEqual([after.mode, after.mtimeMs, after.ctimeMs], [before.mode, before.mtimeMs, before.ctimeMs]);
  assert.deepEqual(readdirSync(join(outside, "around")), ["f"]);
  assert.deepEqual(errors, []);
});
