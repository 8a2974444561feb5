import assert from "node:assert/strict";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { WINDOW_BASE } from "../../lib/vhost-user/testing/test-front-end.js";
import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from "../fuse/constants.js";
import { type Machine, REQUESTS, startDevice } from "../testing/device-machine.js";
import { u32, u64 } from "../testing/test-guest.js";

const MiB = 1 << 20;
const RANGE = 2 * MiB;
const NO_HANDLE = 0xffff_ffff_ffff_ffffn;
const READ = 2n;
const WRITE_HEAD_BYTES = IN_HEADER_BYTES + 40;
const INPUT = 1 << 19;
const OUTPUT = INPUT + 4096;

/** A guest with a layer, a file of which is mapped at the window's second range, and an upper directory. */
function serve(t: TestContext): Machine & { readonly layer: string; readonly upper: string } {
  const machine = startDevice(t, {
    readOnly: false,
    exports: [
      { pattern: ["layer"], policy: "immutable" },
      { pattern: ["upper"], policy: "exclusive" },
    ],
  });
  const [layer, upper] = ["layer", "upper"].map((name) => join(machine.dir, name)) as [string, string];
  for (const directory of [layer, upper]) mkdirSync(directory);
  const content = Buffer.alloc(RANGE);
  for (let page = 0; page < RANGE / 4096; page++) content.writeUInt32LE(page, page * 4096);
  writeFileSync(join(layer, "file"), content);
  writeFileSync(join(upper, "file"), "");
  machine.guest.init();
  assert.equal(map(machine, machine.guest.walk("layer/file").nodeId, 0, RANGE), "");
  return { ...machine, layer, upper };
}

function map({ guest }: Machine, nodeId: bigint, fileOffset: number, windowOffset: number): string {
  const args = u64(NO_HANDLE, BigInt(fileOffset), BigInt(RANGE), READ, BigInt(windowOffset));
  return guest.send(Opcode.SETUPMAPPING, nodeId, [args]).error;
}

/** WRITE of `length` bytes whose payload lies at `offset` in the window. @returns the error in the reply; undefined without one */
function writeFromWindow(machine: Machine, offset: number, length: number): number | undefined {
  const { guest, frontEnd, device } = machine;
  const { nodeId } = guest.walk("upper/file");
  const fh = guest.open(nodeId, 1);
  const header = Buffer.alloc(IN_HEADER_BYTES);
  header.writeUInt32LE(WRITE_HEAD_BYTES + length, 0);
  header.writeUInt32LE(Opcode.WRITE, 4);
  header.writeBigUInt64LE(nodeId, 16);
  const args = Buffer.concat([u64(fh, 0n), u32(length, 0), u64(0n), u32(1, 0)]);
  frontEnd.memory.bytes.set(Buffer.concat([header, args]), INPUT);
  const driver = frontEnd.driver(REQUESTS);
  driver.setChain(
    0,
    [
      [INPUT, WRITE_HEAD_BYTES],
      [WINDOW_BASE + offset, length],
    ],
    [[OUTPUT, OUT_HEADER_BYTES + 8]],
  );
  driver.offer(0);
  device.serve();
  return driver.take() === undefined ? undefined : frontEnd.memory.bytes.readInt32LE(OUTPUT + 4);
}

test("a program writes to a file what it has mapped of another one", (t) => {
  const machine = serve(t);
  assert.equal(writeFromWindow(machine, RANGE + 8192, MiB), 0);
  const written = readFileSync(join(machine.upper, "file"));
  const source = readFileSync(join(machine.layer, "file"));
  assert.ok(written.equals(source.subarray(8192, 8192 + MiB)));
});

test("the same where the file has ended meanwhile: an error, and the daemon lives", (t) => {
  const machine = serve(t);
  truncateSync(join(machine.layer, "file"), 0);
  assert.notEqual(writeFromWindow(machine, RANGE, 4096), 0);
  assert.equal(machine.guest.walk("upper/file").attr.size, 0);
});

test("a payload in a part of the window where nothing is mapped stops the queue", (t) => {
  const machine = serve(t);
  assert.equal(writeFromWindow(machine, 3 * RANGE, 4096), undefined);
  assert.match(machine.log.join(), /no memory at 0x/);
});

test("a working set of 1 GiB goes through a window of 256 MiB, round after round", (t) => {
  const ranges = 128;
  const machine = startDevice(t, {
    daxWindowBytes: ranges * RANGE,
    exports: [{ pattern: [], policy: "immutable" }],
  });
  const { guest, frontEnd, dir, device } = machine;
  writeFileSync(join(dir, "large"), "");
  truncateSync(join(dir, "large"), 2 ** 30);
  guest.init();
  const { nodeId } = guest.lookup(1n, "large");
  for (let touched = 0; touched < 2 * 512; touched++) {
    const [fileOffset, windowOffset] = [(touched % 512) * RANGE, (touched % ranges) * RANGE];
    // The guest gives a range back before it uses it for something else, or has it replaced.
    if (touched >= ranges && touched % 2 === 0) {
      guest.call(Opcode.REMOVEMAPPING, nodeId, [u32(1), u64(BigInt(windowOffset), BigInt(RANGE))]);
      assert.ok(!frontEnd.maps.has(windowOffset));
    }
    assert.equal(map(machine, nodeId, fileOffset, windowOffset), "");
    assert.equal(frontEnd.maps.get(windowOffset)?.fdOffset, fileOffset);
  }
  assert.deepEqual([frontEnd.maps.size, device.report().dax.liveRanges], [ranges, ranges]);
  assert.deepEqual(frontEnd.violations, []);
});
