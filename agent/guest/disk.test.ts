import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { awaitDisk } from "./disk.js";

let sysfs: string;

beforeEach(() => {
  sysfs = mkdtempSync(join(tmpdir(), "disk-"));
});
afterEach(() => rmSync(sysfs, { recursive: true }));

function addDisk(place: string, name: string, numbers: string): void {
  const block = join(sysfs, "bus/scsi/devices", place, "block", name);
  mkdirSync(block, { recursive: true });
  writeFileSync(join(block, "dev"), `${numbers}\n`);
}

test("a disk is found by target and unit, on whichever bus it is", async () => {
  addDisk("2:0:0:11", "sdb", "8:16");
  addDisk("2:0:0:1", "sda", "8:0");
  addDisk("2:0:1:1", "sdc", "8:32");
  assert.deepEqual(await awaitDisk("0:1", sysfs), { major: 8, minor: 0 });
  assert.deepEqual(await awaitDisk("0:11", sysfs), { major: 8, minor: 16 });
  assert.deepEqual(await awaitDisk("1:1", sysfs), { major: 8, minor: 32 });
});

test("a disk that is not there is looked for at its place, and missed in the end", async () => {
  const host = join(sysfs, "class/scsi_host/host2");
  mkdirSync(host, { recursive: true });
  await assert.rejects(awaitDisk("0:7", sysfs, 0), /disk 0:7 has not appeared/);
  await assert.rejects(awaitDisk("0:7", sysfs, 1), /disk 0:7 has not appeared/);
  assert.equal(readFileSync(join(host, "scan"), "utf8"), "0 0 7");
});

test("what is no address is refused", async () => {
  for (const address of ["", "7", "0:0:0", "../1", "0:-1", "*:*"])
    await assert.rejects(awaitDisk(address, sysfs, 0), /not an address of SCSI/);
});
