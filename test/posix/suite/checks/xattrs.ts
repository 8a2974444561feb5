import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { getXattr, listXattrs, removeXattr, setXattr } from "../calls.js";
import { fails, type Group } from "../check.js";
import { ALICE, as, BOB } from "../users.js";

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const NAME_MAX = 255;
const VALUE_MAX = 65536;

export const xattrs: Group = {
  name: "extended attributes",
  checks: {
    "are set, read, listed and removed, on files and directories": (dir) => {
      writeFileSync(`${dir}/file`, "");
      mkdirSync(`${dir}/sub`);
      for (const path of [`${dir}/file`, `${dir}/sub`]) {
        setXattr(path, "user.one", Buffer.from("first"));
        setXattr(path, "user.two", Buffer.alloc(0));
        assert.equal(getXattr(path, "user.one").toString(), "first");
        assert.equal(getXattr(path, "user.two").length, 0);
        const names = listXattrs(path).filter((name) => name.startsWith("user."));
        assert.deepEqual(names.sort(), ["user.one", "user.two"]);
        removeXattr(path, "user.one");
        fails("ENODATA", () => getXattr(path, "user.one"));
        fails("ENODATA", () => removeXattr(path, "user.one"));
      }
    },
    "CREATE and REPLACE": (dir) => {
      const path = `${dir}/file`;
      writeFileSync(path, "");
      fails("ENODATA", () => setXattr(path, "user.x", Buffer.from("1"), XATTR_REPLACE));
      setXattr(path, "user.x", Buffer.from("1"), XATTR_CREATE);
      fails("EEXIST", () => setXattr(path, "user.x", Buffer.from("2"), XATTR_CREATE));
      setXattr(path, "user.x", Buffer.from("3"), XATTR_REPLACE);
      assert.equal(getXattr(path, "user.x").toString(), "3");
    },
    "sizes are asked for and limited": (dir) => {
      const path = `${dir}/file`;
      writeFileSync(path, "");
      setXattr(path, "user.x", Buffer.alloc(100));
      assert.equal(getXattr(path, "user.x", 0).length, 100);
      fails("ERANGE", () => getXattr(path, "user.x", 50));
      fails("ERANGE", () => setXattr(path, `user.${"n".repeat(NAME_MAX)}`, Buffer.alloc(1)));
      fails("E2BIG", () => setXattr(path, "user.y", Buffer.alloc(VALUE_MAX + 1)));
      setXattr(path, `user.${"n".repeat(NAME_MAX - 5)}`, Buffer.alloc(1));
    },
    "user.* of symbolic links and by strangers are refused": (dir) => {
      writeFileSync(`${dir}/file`, "");
      symlinkSync("missing", `${dir}/link`);
      fails("ENOENT", () => setXattr(`${dir}/link`, "user.x", Buffer.from("x")));
      chmodSync(`${dir}/file`, 0o644);
      fails("EACCES", () => as(BOB, () => setXattr(`${dir}/file`, "user.x", Buffer.from("x"))));
    },
    "trusted.* are root's": (dir) => {
      as(ALICE, () => writeFileSync(`${dir}/file`, ""));
      fails("EPERM", () => as(ALICE, () => setXattr(`${dir}/file`, "trusted.x", Buffer.from("x"))));
    },
    "a namespace that nobody knows is refused": (dir) => {
      writeFileSync(`${dir}/file`, "");
      fails("ENOTSUP", () => setXattr(`${dir}/file`, "nonsense.x", Buffer.from("x")));
    },
    "go with their file": (dir) => {
      writeFileSync(`${dir}/file`, "");
      setXattr(`${dir}/file`, "user.x", Buffer.from("x"));
      unlinkSync(`${dir}/file`);
      writeFileSync(`${dir}/file`, "");
      fails("ENODATA", () => getXattr(`${dir}/file`, "user.x"));
    },
    "file capabilities go when the file is written": (dir) => {
      const path = `${dir}/file`;
      writeFileSync(path, "content");
      // struct vfs_cap_data of revision 2 with CAP_NET_RAW permitted.
      const value = Buffer.from("0000000200200000000000000000000000000000", "hex");
      setXattr(path, "security.capability", value);
      assert.equal(getXattr(path, "security.capability").length, value.length);
      writeFileSync(path, "x", { flag: "r+" });
      fails("ENODATA", () => getXattr(path, "security.capability"));
    },
  },
};
