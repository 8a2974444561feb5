import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { S_IFIFO } from "../../../../lib/sys/file.js";
import { mknod } from "../calls.js";
import { fails, type Group } from "../check.js";
import { ALICE, as, withUmask } from "../users.js";

function create(path: string, mode = 0o666): void {
  closeSync(openSync(path, "wx", mode));
}

function ownerOf(path: string): { uid: number; gid: number } {
  const { uid, gid } = lstatSync(path);
  return { uid, gid };
}

const permissions = (path: string) => statSync(path).mode & 0o7777;

export const ownership: Group = {
  name: "ownership",
  checks: {
    "a new object of any kind belongs to the caller": (dir) => {
      as(ALICE, () => {
        create(`${dir}/file`);
        mkdirSync(`${dir}/dir`);
        symlinkSync("x", `${dir}/link`);
        mknod(`${dir}/fifo`, S_IFIFO | 0o600);
      });
      for (const name of ["file", "dir", "link", "fifo"])
        assert.deepEqual(ownerOf(`${dir}/${name}`), { uid: ALICE.uid, gid: ALICE.gid }, name);
    },
    "umask applies to files, directories and nodes": (dir) => {
      withUmask(0o027, () => {
        create(`${dir}/file`, 0o777);
        mkdirSync(`${dir}/dir`, 0o777);
        mknod(`${dir}/fifo`, S_IFIFO | 0o666);
      });
      assert.deepEqual(
        ["file", "dir", "fifo"].map((name) => permissions(`${dir}/${name}`)),
        [0o750, 0o750, 0o640],
      );
    },
    "a set-group-ID directory gives its group, and its bit to directories": (dir) => {
      chownSync(dir, 0, 2000);
      chmodSync(dir, 0o2777);
      as(ALICE, () => {
        create(`${dir}/file`);
        mkdirSync(`${dir}/dir`);
      });
      assert.deepEqual(ownerOf(`${dir}/file`), { uid: ALICE.uid, gid: 2000 });
      assert.deepEqual(ownerOf(`${dir}/dir`), { uid: ALICE.uid, gid: 2000 });
      assert.equal(permissions(`${dir}/dir`), 0o2755);
      assert.equal(permissions(`${dir}/file`), 0o644);
    },
    "an executable made below a set-group-ID directory keeps that bit only for members of the group": (
      dir,
    ) => {
      chownSync(dir, 0, 2000);
      chmodSync(dir, 0o2777);
      as(ALICE, () => create(`${dir}/stranger`, 0o2755));
      as({ ...ALICE, groups: [2000] }, () => create(`${dir}/member`, 0o2755));
      assert.equal(permissions(`${dir}/stranger`), 0o755);
      assert.equal(permissions(`${dir}/member`), 0o2755);
    },
    "supplementary groups open what is open to them": (dir) => {
      mkdirSync(`${dir}/shared`);
      chownSync(`${dir}/shared`, 0, 2000);
      chmodSync(`${dir}/shared`, 0o770);
      fails("EACCES", () => as(ALICE, () => create(`${dir}/shared/file`)));
      as({ ...ALICE, groups: [3000, 2000] }, () => create(`${dir}/shared/file`));
      assert.deepEqual(ownerOf(`${dir}/shared/file`), { uid: ALICE.uid, gid: ALICE.gid });
    },
    "an owner gives a file to its groups, and to no other group or user": (dir) => {
      as(ALICE, () => create(`${dir}/file`));
      fails("EPERM", () => as(ALICE, () => chownSync(`${dir}/file`, ALICE.uid, 2000)));
      fails("EPERM", () => as(ALICE, () => chownSync(`${dir}/file`, 1002, ALICE.gid)));
      as({ ...ALICE, groups: [2000] }, () => chownSync(`${dir}/file`, ALICE.uid, 2000));
      assert.deepEqual(ownerOf(`${dir}/file`), { uid: ALICE.uid, gid: 2000 });
    },
  },
};
