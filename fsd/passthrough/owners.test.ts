import assert from "node:assert/strict";
import { chownSync, lstatSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FATTR_GID, FATTR_UID, Opcode } from "../fuse/constants.js";
import { parseIdMap } from "../options/id-map.js";
import { needsRoot, serveDirectory } from "../testing/fixture.js";
import { cstring, ROOT, type TestGuest, u32 } from "../testing/test-guest.js";

const UID = 1000;
const GID = 2000;
const uids = parseIdMap("translate-uid", [
  "map:1000:5000:10",
  "squash-guest:2000:6000:100",
  "forbid-guest:3000:1",
]);
const gids = parseIdMap("translate-gid", ["guest:2000:7000:1", "host:7000:2001:1", "forbid-guest:0:1"]);

/** FUSE_SETATTR of owners alone. */
function chown(guest: TestGuest, nodeId: bigint, uid: number, gid: number): string {
  const body = Buffer.alloc(88);
  body.writeUInt32LE((uid < 0 ? 0 : FATTR_UID) | (gid < 0 ? 0 : FATTR_GID), 0);
  body.writeUInt32LE(Math.max(uid, 0), 76);
  body.writeUInt32LE(Math.max(gid, 0), 80);
  return guest.send(Opcode.SETATTR, nodeId, [body]).error;
}

test("ids are translated in what the guest is told, what it makes and what it gives away", {
  skip: needsRoot,
}, (t) => {
  const { dir, guest } = serveDirectory(t, { uids, gids }, (shared) => {
    writeFileSync(join(shared, "host"), "");
    chownSync(join(shared, "host"), 5003, 7000);
  });
  const { nodeId, attr } = guest.lookup(ROOT, "host");
  assert.deepEqual([attr.uid, attr.gid], [1003, 2001]);

  guest.uid = UID;
  guest.gid = GID;
  const made = guest.create(ROOT, "made", 2, 0o644).entry;
  assert.deepEqual([made.attr.uid, made.attr.gid], [1000, 2001]);
  const onHost = lstatSync(join(dir, "made"));
  assert.deepEqual([onHost.uid, onHost.gid], [5000, 7000]);
  assert.equal(guest.send(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring("folder")]).error, "");
  assert.equal(lstatSync(join(dir, "folder")).uid, 5000);

  assert.equal(chown(guest, nodeId, 2050, -1), "");
  assert.equal(lstatSync(join(dir, "host")).uid, 6000);
  assert.equal(chown(guest, nodeId, 4000, GID), "");
  assert.deepEqual(Object.values(owners(join(dir, "host"))), [4000, 7000]);
  // FUSE_ACCESS compares owners on the host's side.
  assert.equal(guest.send(Opcode.ACCESS, made.nodeId, [u32(2, 0)]).error, "");
});

test("an id that is forbidden makes nothing and is given nothing", { skip: needsRoot }, (t) => {
  const { dir, guest } = serveDirectory(t, { uids, gids }, (shared) =>
    writeFileSync(join(shared, "file"), ""),
  );
  const { nodeId } = guest.lookup(ROOT, "file");
  assert.equal(chown(guest, nodeId, 3000, -1), "EPERM");
  assert.equal(chown(guest, nodeId, -1, 0), "EPERM");
  assert.equal(lstatSync(join(dir, "file")).uid, 0);
  guest.uid = 3000;
  guest.gid = GID;
  assert.equal(guest.send(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring("folder")]).error, "EPERM");
  assert.equal(guest.send(Opcode.CREATE, ROOT, [u32(2, 0o644, 0, 0), cstring("new")]).error, "EPERM");
  guest.uid = UID;
  guest.gid = 0;
  assert.equal(guest.send(Opcode.CREATE, ROOT, [u32(2, 0o644, 0, 0), cstring("new")]).error, "EPERM");
});

function owners(path: string): { uid: number; gid: number } {
  const { uid, gid } = lstatSync(path);
  return { uid, gid };
}
