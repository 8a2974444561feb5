import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { FS_APPEND_FL, FS_IMMUTABLE_FL, fileFlags, setFileFlags } from "../calls.js";
import { fails, type Group } from "../check.js";
import { ALICE, as, BOB } from "../users.js";

/** Runs `check` on a file or directory that has a flag of chattr(1). */
function withFlag(path: string, flag: number, check: () => void): void {
  const fd = openSync(path, "r");
  try {
    const flags = fileFlags(fd);
    setFileFlags(fd, flags | flag);
    assert.ok(fileFlags(fd) & flag);
    try {
      check();
    } finally {
      setFileFlags(fd, flags);
    }
  } finally {
    closeSync(fd);
  }
}

export const permissions: Group = {
  name: "permissions",
  checks: {
    "the class of the caller decides: owner, then group, then others": (dir) => {
      writeFileSync(`${dir}/file`, "content");
      chownSync(`${dir}/file`, ALICE.uid, BOB.gid);
      chmodSync(`${dir}/file`, 0o067);
      fails("EACCES", () => as(ALICE, () => readFileSync(`${dir}/file`)));
      as(BOB, () => readFileSync(`${dir}/file`));
      as(BOB, () => closeSync(openSync(`${dir}/file`, "r+")));
      as({ uid: 1003, gid: 1003 }, () => readFileSync(`${dir}/file`));
    },
    "a directory is searched with x, listed with r, changed with w and x": (dir) => {
      const sub = `${dir}/sub`;
      mkdirSync(sub);
      writeFileSync(`${sub}/file`, "");
      const attempt = (mode: number, action: () => void) => {
        chmodSync(sub, mode);
        as(BOB, action);
      };
      attempt(0o701, () => statSync(`${sub}/file`));
      attempt(0o701, () => fails("EACCES", () => readdirSync(sub)));
      attempt(0o704, () => assert.deepEqual(readdirSync(sub), ["file"]));
      attempt(0o704, () => fails("EACCES", () => statSync(`${sub}/file`)));
      attempt(0o702, () => fails("EACCES", () => unlinkSync(`${sub}/file`)));
      attempt(0o705, () => fails("EACCES", () => unlinkSync(`${sub}/file`)));
      attempt(0o703, () => unlinkSync(`${sub}/file`));
    },
    "only the owner changes the mode, and sets times at will": (dir) => {
      writeFileSync(`${dir}/file`, "");
      chmodSync(`${dir}/file`, 0o666);
      as(BOB, () => fails("EPERM", () => chmodSync(`${dir}/file`, 0o777)));
      as(BOB, () => fails("EPERM", () => utimesSync(`${dir}/file`, 1, 1)));
    },
    "a sticky directory lets only owners remove and rename": (dir) => {
      chmodSync(dir, 0o1777);
      as(ALICE, () => {
        writeFileSync(`${dir}/file`, "");
        mkdirSync(`${dir}/sub`);
      });
      as(BOB, () => {
        fails("EPERM", () => unlinkSync(`${dir}/file`));
        fails("EPERM", () => rmdirSync(`${dir}/sub`));
        fails("EPERM", () => renameSync(`${dir}/file`, `${dir}/other`));
        writeFileSync(`${dir}/bobs`, "");
        fails("EPERM", () => renameSync(`${dir}/bobs`, `${dir}/file`));
      });
      as(ALICE, () => {
        unlinkSync(`${dir}/file`);
        rmdirSync(`${dir}/sub`);
      });
    },
    "the owner of a sticky directory removes what is others'": (dir) => {
      chownSync(dir, BOB.uid, BOB.gid);
      chmodSync(dir, 0o1777);
      as(ALICE, () => writeFileSync(`${dir}/file`, ""));
      as(BOB, () => unlinkSync(`${dir}/file`));
    },
    "an append-only file grows, and nothing else": (dir) => {
      const path = `${dir}/file`;
      writeFileSync(path, "content");
      withFlag(path, FS_APPEND_FL, () => {
        fails("EPERM", () => openSync(path, "r+"));
        fails("EPERM", () => truncateSync(path, 0));
        fails("EPERM", () => unlinkSync(path));
        fails("EPERM", () => renameSync(path, `${dir}/other`));
        const fd = openSync(path, "a");
        writeSync(fd, " and more");
        closeSync(fd);
        assert.equal(readFileSync(path, "utf8"), "content and more");
      });
    },
    "an append-only file grows for a user who owns it, too, and nothing else": (dir) => {
      const path = `${dir}/file`;
      as(ALICE, () => writeFileSync(path, "content"));
      withFlag(path, FS_APPEND_FL, () =>
        as(ALICE, () => {
          fails("EPERM", () => openSync(path, "r+"));
          fails("EPERM", () => openSync(path, "w"));
          fails("EPERM", () => truncateSync(path, 0));
          fails("EPERM", () => chmodSync(path, 0o600));
          fails("EPERM", () => linkSync(path, `${dir}/other`));
          fails("EPERM", () => unlinkSync(path));
          fails("EPERM", () => utimesSync(path, 1, 1));
          writeFileSync(path, " and more", { flag: "a" });
          assert.equal(readFileSync(path, "utf8"), "content and more");
        }),
      );
    },
    "an append-only directory gets names and loses none": (dir) => {
      const sub = `${dir}/sub`;
      mkdirSync(sub);
      chmodSync(sub, 0o777);
      withFlag(sub, FS_APPEND_FL, () =>
        as(ALICE, () => {
          writeFileSync(`${sub}/file`, "content");
          mkdirSync(`${sub}/inner`);
          fails("EPERM", () => unlinkSync(`${sub}/file`));
          fails("EPERM", () => rmdirSync(`${sub}/inner`));
          fails("EPERM", () => renameSync(`${sub}/file`, `${sub}/other`));
          assert.deepEqual(readdirSync(sub).sort(), ["file", "inner"]);
        }),
      );
    },
    "an immutable file stays as it is": (dir) => {
      const path = `${dir}/file`;
      writeFileSync(path, "content");
      withFlag(path, FS_IMMUTABLE_FL, () => {
        for (const change of [
          () => openSync(path, "a"),
          () => unlinkSync(path),
          () => chmodSync(path, 0o600),
          () => renameSync(path, `${dir}/other`),
        ])
          fails("EPERM", change);
      });
    },
    "only root sets flags of chattr": (dir) => {
      writeFileSync(`${dir}/file`, "");
      chownSync(`${dir}/file`, ALICE.uid, ALICE.gid);
      const fd = openSync(`${dir}/file`, "r");
      const flags = fileFlags(fd);
      fails("EPERM", () => as(ALICE, () => setFileFlags(fd, flags | FS_APPEND_FL)));
      closeSync(fd);
    },
    "another user's link in a sticky directory of everybody is the guest kernel's matter": (dir) => {
      writeFileSync(`${dir}/target`, "content");
      chmodSync(`${dir}/target`, 0o644);
      symlinkSync("target", `${dir}/link`);
      as(BOB, () => assert.equal(readFileSync(`${dir}/link`, "utf8"), "content"));
    },
    "an open descriptor outlives the permission": (dir) => {
      writeFileSync(`${dir}/file`, "content");
      chmodSync(`${dir}/file`, 0o666);
      const fd = as(BOB, () => openSync(`${dir}/file`, "r+"));
      chmodSync(`${dir}/file`, 0);
      as(BOB, () => writeSync(fd, "CONTENT"));
      closeSync(fd);
      assert.equal(readFileSync(`${dir}/file`, "utf8"), "CONTENT");
    },
    "a file made without permissions is open to its maker": (dir) => {
      as(ALICE, () => {
        const fd = openSync(`${dir}/file`, "wx", 0);
        writeSync(fd, "content");
        closeSync(fd);
        fails("EACCES", () => openSync(`${dir}/file`, "r"));
      });
    },
  },
};
