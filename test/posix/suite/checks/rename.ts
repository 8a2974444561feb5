import assert from "node:assert/strict";
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from "../../../../lib/sys/file.js";
import { rename2 } from "../calls.js";
import { fails, type Group } from "../check.js";

export const rename: Group = {
  name: "rename",
  checks: {
    "replaces a file; the old one is gone": (dir) => {
      writeFileSync(`${dir}/a`, "a");
      writeFileSync(`${dir}/b`, "b");
      const { ino } = statSync(`${dir}/a`);
      renameSync(`${dir}/a`, `${dir}/b`);
      assert.deepEqual(readdirSync(dir), ["b"]);
      assert.equal(readFileSync(`${dir}/b`, "utf8"), "a");
      assert.equal(statSync(`${dir}/b`).ino, ino);
    },
    "of a link to another link of the same file does nothing": (dir) => {
      writeFileSync(`${dir}/a`, "a");
      linkSync(`${dir}/a`, `${dir}/b`);
      renameSync(`${dir}/a`, `${dir}/b`);
      assert.deepEqual(readdirSync(dir).sort(), ["a", "b"]);
      assert.equal(statSync(`${dir}/a`).nlink, 2);
    },
    "of something onto itself does nothing": (dir) => {
      writeFileSync(`${dir}/a`, "a");
      renameSync(`${dir}/a`, `${dir}/a`);
      assert.equal(readFileSync(`${dir}/a`, "utf8"), "a");
    },
    "takes a directory over an empty one only": (dir) => {
      mkdirSync(`${dir}/a`);
      writeFileSync(`${dir}/a/file`, "");
      mkdirSync(`${dir}/empty`);
      mkdirSync(`${dir}/full`);
      writeFileSync(`${dir}/full/file`, "");
      fails("ENOTEMPTY", () => renameSync(`${dir}/a`, `${dir}/full`));
      renameSync(`${dir}/a`, `${dir}/empty`);
      assert.deepEqual(readdirSync(`${dir}/empty`), ["file"]);
    },
    "does not mix directories with others": (dir) => {
      mkdirSync(`${dir}/dir`);
      writeFileSync(`${dir}/file`, "");
      symlinkSync("dir", `${dir}/link`);
      fails("EISDIR", () => renameSync(`${dir}/file`, `${dir}/dir`));
      fails("ENOTDIR", () => renameSync(`${dir}/dir`, `${dir}/file`));
      fails("ENOTDIR", () => renameSync(`${dir}/dir`, `${dir}/link`));
      renameSync(`${dir}/file`, `${dir}/link`);
      assert.ok(lstatSync(`${dir}/link`).isFile());
    },
    "does not take a directory into its own subtree, nor over its parents": (dir) => {
      mkdirSync(`${dir}/a/b/c`, { recursive: true });
      fails("EINVAL", () => renameSync(`${dir}/a`, `${dir}/a/b/c/d`));
      fails("EINVAL", () => renameSync(`${dir}/a`, `${dir}/a/b`));
      fails("ENOTEMPTY", () => renameSync(`${dir}/a/b/c`, `${dir}/a`));
    },
    "takes a tree elsewhere; '..' and link counts follow": (dir) => {
      mkdirSync(`${dir}/from/moved/sub`, { recursive: true });
      mkdirSync(`${dir}/to`);
      renameSync(`${dir}/from/moved`, `${dir}/to/moved`);
      assert.equal(statSync(`${dir}/to/moved/..`).ino, statSync(`${dir}/to`).ino);
      assert.equal(statSync(`${dir}/from`).nlink, 2);
      assert.equal(statSync(`${dir}/to`).nlink, 3);
      rmdirSync(`${dir}/from`);
    },
    "refuses '.' and '..'": (dir) => {
      mkdirSync(`${dir}/sub`);
      for (const name of [".", ".."]) fails("EBUSY", () => renameSync(`${dir}/sub/${name}`, `${dir}/other`));
      fails("ENOENT", () => renameSync(`${dir}/missing`, `${dir}/other`));
    },
    "with NOREPLACE replaces nothing": (dir) => {
      writeFileSync(`${dir}/a`, "a");
      writeFileSync(`${dir}/b`, "b");
      fails("EEXIST", () => rename2(`${dir}/a`, `${dir}/b`, RENAME_NOREPLACE));
      rename2(`${dir}/a`, `${dir}/c`, RENAME_NOREPLACE);
      assert.deepEqual(readdirSync(dir).sort(), ["b", "c"]);
    },
    "with EXCHANGE swaps even a file and a full directory": (dir) => {
      writeFileSync(`${dir}/a`, "a");
      mkdirSync(`${dir}/b`);
      writeFileSync(`${dir}/b/inner`, "");
      rename2(`${dir}/a`, `${dir}/b`, RENAME_EXCHANGE);
      assert.deepEqual(readdirSync(`${dir}/a`), ["inner"]);
      assert.equal(readFileSync(`${dir}/b`, "utf8"), "a");
      fails("ENOENT", () => rename2(`${dir}/a`, `${dir}/missing`, RENAME_EXCHANGE));
    },
    "with EXCHANGE across directories keeps '..' right": (dir) => {
      mkdirSync(`${dir}/one/x`, { recursive: true });
      mkdirSync(`${dir}/two/y`, { recursive: true });
      rename2(`${dir}/one/x`, `${dir}/two/y`, RENAME_EXCHANGE);
      assert.equal(statSync(`${dir}/one/x/..`).ino, statSync(`${dir}/one`).ino);
      assert.equal(statSync(`${dir}/two/y/..`).ino, statSync(`${dir}/two`).ino);
    },
    "with WHITEOUT leaves a whiteout": (dir) => {
      writeFileSync(`${dir}/a`, "a");
      rename2(`${dir}/a`, `${dir}/b`, RENAME_WHITEOUT);
      assert.equal(readFileSync(`${dir}/b`, "utf8"), "a");
      const { rdev, mode } = statSync(`${dir}/a`);
      assert.deepEqual([rdev, mode & 0o170000], [0, 0o020000]);
    },
    "refuses flags that exclude each other": (dir) => {
      writeFileSync(`${dir}/a`, "a");
      writeFileSync(`${dir}/b`, "b");
      fails("EINVAL", () => rename2(`${dir}/a`, `${dir}/b`, RENAME_NOREPLACE | RENAME_EXCHANGE));
      fails("EINVAL", () => rename2(`${dir}/a`, `${dir}/b`, RENAME_WHITEOUT | RENAME_EXCHANGE));
      assert.ok(existsSync(`${dir}/a`));
    },
  },
};
