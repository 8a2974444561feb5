import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  FATTR_GID,
  FATTR_KILL_SUIDGID,
  FATTR_MODE,
  FATTR_SIZE,
  FATTR_UID,
  Opcode,
} from "../fuse/constants.js";
import { parseExport } from "../options/export-option.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { hostGet, hostSet } from "../testing/host-xattr.js";
import { cstring, readEntry, type TestGuest, u32 } from "../testing/test-guest.js";

const options = { skip: needsRoot };
const CAPABILITY = Buffer.from("0100000200200000000000000000000000000000", "hex").toString("latin1");
const OWNER = FATTR_UID | FATTR_GID;

/** A set-user-ID file with capabilities, in a plain directory. */
function fixture(t: TestContext) {
  const served = serveDirectory(t, { exports: [parseExport("upper:exclusive,overlay")] }, (dir) => {
    mkdirSync(join(dir, "upper"));
    const path = join(dir, "file");
    writeFileSync(path, "content");
    chownSync(path, 5, 6);
    chmodSync(path, 0o6755);
    hostSet(path, "security.capability", CAPABILITY);
  });
  const path = join(served.dir, "file");
  const look = () => [statSync(path).mode & 0o7777, hostGet(path, "security.capability") === CAPABILITY];
  return { ...served, path, look, nodeId: served.guest.walk("file").nodeId };
}

function setattr(
  guest: TestGuest,
  nodeId: bigint,
  valid: number,
  { size = 0, mode = 0, uid = 0, gid = 0 },
): void {
  const body = Buffer.alloc(88);
  body.writeUInt32LE(valid, 0);
  body.writeBigUInt64LE(BigInt(size), 16);
  body.writeUInt32LE(mode, 68);
  body.writeUInt32LE(uid, 76);
  body.writeUInt32LE(gid, 80);
  guest.call(Opcode.SETATTR, nodeId, [body]);
}

test("a change of owner or size leaves what the guest's kernel has not taken", options, (t) => {
  const { guest, nodeId, look } = fixture(t);
  setattr(guest, nodeId, OWNER, { uid: 7, gid: 8 });
  assert.deepEqual(look(), [0o6755, true]);
  setattr(guest, nodeId, FATTR_SIZE, { size: 3 });
  assert.deepEqual(look(), [0o6755, true]);
  setattr(guest, nodeId, OWNER | FATTR_MODE, { uid: 0, gid: 0, mode: 0o2711 });
  assert.deepEqual(look(), [0o2711, true]);
});

test("set-id bits go when the guest says so", options, (t) => {
  const { guest, nodeId, look } = fixture(t);
  setattr(guest, nodeId, OWNER | FATTR_KILL_SUIDGID, { uid: 5, gid: 6 });
  assert.deepEqual(look(), [0o755, true]);
});

test("capabilities that the guest's kernel removed before stay away", options, (t) => {
  const { guest, nodeId, look } = fixture(t);
  guest.call(Opcode.REMOVEXATTR, nodeId, [cstring("security.capability")]);
  setattr(guest, nodeId, OWNER, { uid: 7, gid: 8 });
  assert.deepEqual(look(), [0o6755, false]);
});

test("what is being copied up keeps its bits, though the guest says they are to go", options, (t) => {
  const { guest } = fixture(t);
  const upper = guest.walk("upper").nodeId;
  const body = guest.call(Opcode.TMPFILE, upper, [u32(2, 0o100600, 0, 0), cstring("")]);
  const { nodeId } = readEntry(body);
  setattr(guest, nodeId, FATTR_MODE, { mode: 0o4755 });
  setattr(guest, nodeId, OWNER | FATTR_KILL_SUIDGID, { uid: 7, gid: 8 });
  assert.equal(guest.getattr(nodeId).mode & 0o7777, 0o4755);
  guest.call(Opcode.LINK, upper, [
    u32(Number(nodeId & 0xffff_ffffn), Number(nodeId >> 32n)),
    cstring("named"),
  ]);
  setattr(guest, nodeId, OWNER | FATTR_KILL_SUIDGID, { uid: 7, gid: 8 });
  assert.equal(guest.getattr(nodeId).mode & 0o7777, 0o755);
});
