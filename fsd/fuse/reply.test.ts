import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeDevice, writeEntry, writeOpen } from "./reply.js";

test("struct fuse_entry_out", () => {
  const view = new DataView(new ArrayBuffer(40));
  writeEntry(view, 0, 2, 1, { seconds: 86400, nanoseconds: 0 }, { seconds: 1, nanoseconds: 5 });
  const expected = "0200000001000000 0000000000000000 8051010000000000 0100000000000000 00000000 05000000";
  assert.equal(Buffer.from(view.buffer).toString("hex"), expected.replaceAll(" ", ""));
});

test("struct fuse_open_out", () => {
  const view = new DataView(new ArrayBuffer(16));
  writeOpen(view, 0, 7, 1, 2);
  assert.equal(Buffer.from(view.buffer).toString("hex"), "07000000010000000200000000000000");
});

test("device numbers as new_encode_dev makes them", () => {
  assert.equal(encodeDevice(0, 0), 0);
  assert.equal(encodeDevice(1, 3), 0x103, "/dev/null");
  assert.equal(encodeDevice(8, 0x12345), 0x1230_0845);
  assert.equal(encodeDevice(0xfff, 0xfffff), 0xffff_ffff);
});
