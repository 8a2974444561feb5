import assert from "node:assert/strict";
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { getXattr, listXattrs, removeXattr, setXattr } from "../calls.js";
import { fails, type Group } from "../check.js";
import { ALICE, as, BOB, withUmask } from "../users.js";

const ACCESS = "system.posix_acl_access";
const DEFAULT = "system.posix_acl_default";

// Tags of linux/posix_acl.h.
const USER_OBJ = 0x01;
const USER = 0x02;
const GROUP_OBJ = 0x04;
const GROUP = 0x08;
const MASK = 0x10;
const OTHER = 0x20;
const NOBODY = 0xffffffff;

type AclEntry = readonly [tag: number, permissions: number, id?: number];

/** An ACL as the attribute holds it: linux/posix_acl_xattr.h. */
function acl(...entries: readonly AclEntry[]): Buffer {
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id = NOBODY]] of entries.entries()) {
    value.writeUInt16LE(tag, 4 + 8 * index);
    value.writeUInt16LE(permissions, 6 + 8 * index);
    value.writeUInt32LE(id, 8 + 8 * index);
  }
  return value;
}

const forBob = acl([USER_OBJ, 6], [USER, 4, BOB.uid], [GROUP_OBJ, 0], [MASK, 4], [OTHER, 0]);

/** Only served with --posix-acl. */
export const acls: Group = {
  name: "access control lists",
  checks: {
    "an entry for a user lets him in, and nobody else": (dir) => {
      writeFileSync(`${dir}/file`, "content");
      chmodSync(`${dir}/file`, 0o600);
      setXattr(`${dir}/file`, ACCESS, forBob);
      assert.equal(
        as(BOB, () => readFileSync(`${dir}/file`, "utf8")),
        "content",
      );
      fails("EACCES", () => as(ALICE, () => readFileSync(`${dir}/file`)));
      fails("EACCES", () => as(BOB, () => closeSync(openSync(`${dir}/file`, "r+"))));
      assert.ok(getXattr(`${dir}/file`, ACCESS).equals(forBob));
      assert.ok(listXattrs(`${dir}/file`).includes(ACCESS));
    },
    "the mask shows in the mode, and chmod changes it": (dir) => {
      writeFileSync(`${dir}/file`, "content");
      setXattr(`${dir}/file`, ACCESS, forBob);
      assert.equal(statSync(`${dir}/file`).mode & 0o777, 0o640);
      chmodSync(`${dir}/file`, 0o600);
      fails("EACCES", () => as(BOB, () => readFileSync(`${dir}/file`)));
      chmodSync(`${dir}/file`, 0o640);
      as(BOB, () => readFileSync(`${dir}/file`));
    },
    "an entry for a group counts for its members": (dir) => {
      writeFileSync(`${dir}/file`, "content");
      const forGroup = acl([USER_OBJ, 6], [GROUP_OBJ, 0], [GROUP, 4, 2000], [MASK, 4], [OTHER, 0]);
      setXattr(`${dir}/file`, ACCESS, forGroup);
      as({ ...ALICE, groups: [2000] }, () => readFileSync(`${dir}/file`));
      fails("EACCES", () => as(ALICE, () => readFileSync(`${dir}/file`)));
    },
    "a default ACL is inherited, and stands in for the umask": (dir) => {
      const inherited = acl([USER_OBJ, 7], [USER, 7, BOB.uid], [GROUP_OBJ, 5], [MASK, 7], [OTHER, 0]);
      setXattr(dir, DEFAULT, inherited);
      withUmask(0o077, () => {
        writeFileSync(`${dir}/file`, "content");
        mkdirSync(`${dir}/sub`);
      });
      assert.equal(statSync(`${dir}/file`).mode & 0o777, 0o660);
      assert.ok(getXattr(`${dir}/sub`, DEFAULT).equals(inherited));
      as(BOB, () => writeFileSync(`${dir}/file`, "changed"));
    },
    "only the owner changes it, and one that equals a mode is none": (dir) => {
      writeFileSync(`${dir}/file`, "content");
      chmodSync(`${dir}/file`, 0o666);
      fails("EPERM", () => as(BOB, () => setXattr(`${dir}/file`, ACCESS, forBob)));
      setXattr(`${dir}/file`, ACCESS, acl([USER_OBJ, 6], [GROUP_OBJ, 4], [OTHER, 4]));
      assert.equal(statSync(`${dir}/file`).mode & 0o777, 0o644);
      fails("ENODATA", () => getXattr(`${dir}/file`, ACCESS));
      setXattr(`${dir}/file`, ACCESS, forBob);
      removeXattr(`${dir}/file`, ACCESS);
      fails("ENODATA", () => getXattr(`${dir}/file`, ACCESS));
    },
    "a malformed one, or a default one on a file, is refused": (dir) => {
      writeFileSync(`${dir}/file`, "");
      fails("EINVAL", () => setXattr(`${dir}/file`, ACCESS, acl([USER_OBJ, 6], [OTHER, 4])));
      fails("EACCES", () => setXattr(`${dir}/file`, DEFAULT, forBob));
    },
  },
};
