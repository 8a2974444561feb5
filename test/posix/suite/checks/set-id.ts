import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  mkdirSync,
  openSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { fallocate } from "../calls.js";
import type { Group } from "../check.js";
import { ALICE, as, BOB } from "../users.js";

const permissions = (path: string) => statSync(path).mode & 0o7777;

/** A file of root with set-id bits to which everybody may write. */
function program(dir: string, mode = 0o6777): string {
  const path = `${dir}/program`;
  writeFileSync(path, "content");
  chmodSync(path, mode);
  assert.equal(permissions(path), mode);
  return path;
}

function edit(path: string, change: (fd: number) => void): void {
  const fd = openSync(path, "r+");
  try {
    change(fd);
  } finally {
    closeSync(fd);
  }
}

export const setId: Group = {
  name: "set-id bits",
  checks: {
    "go when a user writes": (dir) => {
      const path = program(dir);
      as(BOB, () => edit(path, (fd) => writeSync(fd, "x")));
      assert.equal(permissions(path), 0o777);
    },
    "are seen to be gone by fstat on the descriptor that wrote": (dir) => {
      const path = program(dir);
      as(BOB, () =>
        edit(path, (fd) => {
          writeSync(fd, "x");
          assert.equal(statSync(`/proc/self/fd/${fd}`).mode & 0o7777, 0o777);
        }),
      );
    },
    "go when a user truncates by path or descriptor": (dir) => {
      const path = program(dir);
      as(BOB, () => truncateSync(path, 1));
      assert.equal(permissions(path), 0o777);
      chmodSync(path, 0o6777);
      as(BOB, () => edit(path, (fd) => ftruncateSync(fd, 0)));
      assert.equal(permissions(path), 0o777);
    },
    "go when a user opens with O_TRUNC": (dir) => {
      const path = program(dir);
      as(BOB, () => closeSync(openSync(path, "w")));
      assert.equal(permissions(path), 0o777);
    },
    "go when a user allocates room": (dir) => {
      const path = program(dir);
      as(BOB, () => edit(path, (fd) => fallocate(fd, 0, 0, 10000)));
      assert.equal(permissions(path), 0o777);
    },
    "stay when root writes, truncates": (dir) => {
      const path = program(dir);
      edit(path, (fd) => writeSync(fd, "x"));
      truncateSync(path, 1);
      assert.equal(permissions(path), 0o6777);
    },
    "go when the owner changes, even by root": (dir) => {
      const path = program(dir);
      chownSync(path, ALICE.uid, ALICE.gid);
      assert.equal(permissions(path), 0o777);
    },
    "go when a user gives the file to a group of his": (dir) => {
      const path = program(dir);
      chownSync(path, ALICE.uid, ALICE.gid);
      chmodSync(path, 0o6755);
      as({ ...ALICE, groups: [2000] }, () => lchownSync(path, ALICE.uid, 2000));
      assert.equal(permissions(path), 0o755);
    },
    "stay on directories whose owner changes": (dir) => {
      mkdirSync(`${dir}/sub`);
      chmodSync(`${dir}/sub`, 0o6755);
      chownSync(`${dir}/sub`, ALICE.uid, ALICE.gid);
      assert.equal(permissions(`${dir}/sub`), 0o6755);
    },
    "set-group-ID without group execution is no privilege and stays on write": (dir) => {
      const path = program(dir, 0o2666);
      as(BOB, () => edit(path, (fd) => writeSync(fd, "x")));
      // Since Linux 6.1 it goes all the same, unless the writer is of the group.
      assert.ok([0o2666, 0o666].includes(permissions(path)));
    },
    "chmod by one who is not of the group drops set-group-ID": (dir) => {
      writeFileSync(`${dir}/file`, "");
      chownSync(`${dir}/file`, ALICE.uid, 2000);
      as(ALICE, () => chmodSync(`${dir}/file`, 0o2755));
      assert.equal(permissions(`${dir}/file`), 0o755);
      as({ ...ALICE, groups: [2000] }, () => chmodSync(`${dir}/file`, 0o2755));
      assert.equal(permissions(`${dir}/file`), 0o2755);
    },
  },
};
