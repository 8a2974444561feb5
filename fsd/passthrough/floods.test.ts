import assert from "node:assert/strict";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openDescriptors } from "../../lib/sys/testing/open-descriptors.js";
import { IN_HEADER_BYTES, Opcode } from "../fuse/constants.js";
import { BufferSegments } from "../testing/buffer-segments.js";
import { type Fixture, serveDirectory } from "../testing/fixture.js";
import { ROOT, u32, u64 } from "../testing/test-guest.js";

const FORGETS = 1_000_000;
const BATCH = 4000;
const FILES = 100;
const U64_MAX = 2n ** 64n - 1n;
const GIB = 2 ** 30;
const NOTHING = new BufferSegments([]);

function header(length: number, opcode: number, nodeId: bigint): Buffer {
  const bytes = Buffer.alloc(IN_HEADER_BYTES);
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeBigUInt64LE(nodeId, 16);
  return bytes;
}

/** Files that the guest has looked up, by node id. */
function lookedUp({ dir, guest }: Fixture): bigint[] {
  return Array.from({ length: FILES }, (_, index) => {
    writeFileSync(join(dir, `${index}`), "");
    return guest.lookup(ROOT, `${index}`).nodeId;
  });
}

test("a million FORGETs of nodes that are known, gone or never were, with counts of every size", (t) => {
  const served = serveDirectory(t);
  const { server, guest, metrics, errors } = served;
  const before = openDescriptors().length;
  const known = lookedUp(served);
  const nodeIds = [...known, 0n, ROOT, 2n, 0xffff_ffffn, U64_MAX, 1n << 63n];
  const counts = [0n, 1n, 2n ** 32n, 2n ** 53n + 1n, U64_MAX];
  const request = Buffer.concat([header(IN_HEADER_BYTES + 8, Opcode.FORGET, 0n), Buffer.alloc(8)]);
  const readable = new BufferSegments([request]);
  // Long enough for what is compiled and cached on the way to be there.
  let memory = 0;
  for (let index = 0; index < FORGETS; index++) {
    request.writeBigUInt64LE(nodeIds[index % nodeIds.length] ?? 0n, 16);
    request.writeBigUInt64LE(counts[(index >> 4) % counts.length] ?? 0n, IN_HEADER_BYTES);
    assert.equal(server.handle(0, 0, readable, NOTHING), 0);
    if (index === FORGETS / 10) memory = process.memoryUsage().arrayBuffers;
  }
  assert.ok(process.memoryUsage().arrayBuffers <= memory + (1 << 20), "nothing has grown");
  assert.equal(metrics.inodesLive, 0);
  assert.equal(openDescriptors().length, before);
  assert.deepEqual(errors, []);
  assert.equal(guest.getattr(ROOT).mode & 0o40000, 0o40000, "the root stays");
  assert.ok(guest.lookup(ROOT, "0").nodeId > 0n);
});

test("a million forgets in batches, each of a node once too often", (t) => {
  const served = serveDirectory(t);
  const { server, guest, metrics } = served;
  for (let done = 0; done < FORGETS; done += BATCH) {
    const known = lookedUp(served);
    const list = Array.from({ length: BATCH }, (_, index) => u64(known[index % FILES] ?? 0n, 1n));
    const body = Buffer.concat([u32(0xffff_ffff, 0), ...list]);
    const batch = header(IN_HEADER_BYTES + body.length, Opcode.BATCH_FORGET, 0n);
    assert.equal(server.handle(0, 0, new BufferSegments([batch, body]), NOTHING), 0);
    assert.equal(metrics.inodesLive, 0);
    if (done === 0)
      assert.equal(guest.send(Opcode.GETATTR, known[0] ?? 0n, [Buffer.alloc(16)]).error, "ESTALE");
  }
});

/** Descriptors that all name the same memory. */
class Overlapping extends BufferSegments {
  constructor(
    first: Uint8Array,
    private readonly times: number,
    private readonly page: Uint8Array = Buffer.alloc(4096),
  ) {
    super([first]);
  }
  override get byteLength(): number {
    return super.byteLength + this.times * this.page.length;
  }
  override copyIn(offset: number, target: Uint8Array, targetOffset: number, length: number): number {
    const done = super.copyIn(offset, target, targetOffset, length);
    return done + this.page.subarray(0, length - done).length;
  }
  override toIovecs(): number {
    throw new Error("more is moved than a guest has reason to ask for");
  }
}

test("what many descriptors of the same memory ask for is refused, or done as far as a guest has reason to ask", (t) => {
  const served = serveDirectory(t);
  const { server, guest, dir, metrics } = served;
  const path = join(dir, "large");
  writeFileSync(path, "");
  truncateSync(path, 8 * GIB);
  const { nodeId } = guest.lookup(ROOT, "large");
  const fh = guest.open(nodeId, 2);
  const times = GIB / 4096;
  const arguments_ = [u64(fh, 0n), u32(GIB, 0), u64(0n), u32(0, 0)];
  const errorOf = (opcode: number, payload: number, room: number) => {
    const answer = Buffer.alloc(16);
    const head = header(IN_HEADER_BYTES + 40 + payload, opcode, nodeId);
    const readable = new Overlapping(Buffer.concat([head, ...arguments_]), payload / 4096);
    const writable = room > 0 ? new Overlapping(answer, room / 4096) : new BufferSegments([answer]);
    assert.equal(server.handle(1, 0, readable, writable), 16);
    return answer.readInt32LE(4);
  };
  assert.equal(errorOf(Opcode.READ, 0, GIB), -22);
  assert.equal(errorOf(Opcode.WRITE, GIB, 0), -22);
  guest.lookup(ROOT, "large");
  const batch = Buffer.concat([
    header(0xffff_ff00, Opcode.BATCH_FORGET, 0n),
    u32(0xffff_ffff, 0),
    u64(nodeId, 1n),
  ]);
  assert.equal(server.handle(0, 0, new Overlapping(batch, 4 * times), NOTHING), 0);
  assert.equal(metrics.inodesLive, 1, "one of two references is forgotten");
});
