import assert from "node:assert/strict";
import { chownSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Opcode } from "../fuse/constants.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { ROOT, u32, u64 } from "../testing/test-guest.js";
import { IdMap } from "./id-map.js";

const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;

test("STATX tells what GETATTR tells, and when the file was made", { skip: needsRoot }, (t) => {
  const uids = new IdMap({
    guestToHost: [],
    hostToGuest: [{ first: 1000, count: 1, kind: "shift", target: 7 }],
  });
  const { dir, guest } = serveDirectory(t, { uids }, (path) => {
    writeFileSync(join(path, "file"), "twelve bytes");
    chownSync(join(path, "file"), 1000, 1001);
  });
  const { nodeId, attr } = guest.lookup(ROOT, "file");
  const host = statSync(join(dir, "file"), { bigint: true });
  const body = guest.call(Opcode.STATX, nodeId, [u32(0, 0), u64(0n), u32(0, 0xfff)]);
  assert.equal(body.readBigUInt64LE(0), 1n, "seconds for which it may be kept");
  const stat = body.subarray(32);
  const mask = stat.readUInt32LE(0);
  assert.equal(mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  assert.equal(mask & ~(STATX_BASIC_STATS | STATX_BTIME), 0, "no field that guests do not know");
  assert.equal(stat.readUInt32LE(20), 7, "uid, translated");
  assert.equal(stat.readUInt32LE(24), 1001);
  assert.equal(stat.readUInt16LE(28), Number(host.mode));
  assert.equal(stat.readBigUInt64LE(32), attr.ino, "the number that the guest knows it by");
  assert.equal(stat.readBigUInt64LE(40), 12n);
  const time = (offset: number) =>
    stat.readBigInt64LE(offset) * 1_000_000_000n + BigInt(stat.readUInt32LE(offset + 8));
  assert.equal(time(112), host.mtimeNs);
  if ((mask & STATX_BTIME) !== 0) assert.equal(time(80), host.birthtimeNs);
  assert.equal(guest.send(Opcode.STATX, nodeId, [u32(0, 0), u64(0n)]).error, "EINVAL");
  assert.equal(guest.send(Opcode.STATX, 99n, [u32(0, 0), u64(0n), u32(0, 0)]).error, "ESTALE");
});
