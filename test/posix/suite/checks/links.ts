import assert from "node:assert/strict";
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { linkDescriptor, openTemporary } from "../calls.js";
import { fails, type Group } from "../check.js";
import { ALICE, as } from "../users.js";

function readAll(fd: number): string {
  const buffer = Buffer.alloc(100);
  return buffer.toString("utf8", 0, readSync(fd, buffer, 0, buffer.length, 0));
}

export const links: Group = {
  name: "links",
  checks: {
    "hard links are one file, and counted": (dir) => {
      writeFileSync(`${dir}/a`, "content");
      linkSync(`${dir}/a`, `${dir}/b`);
      const [a, b] = [statSync(`${dir}/a`), statSync(`${dir}/b`)];
      assert.deepEqual([a.ino, a.nlink], [b.ino, 2]);
      chmodSync(`${dir}/b`, 0o600);
      assert.equal(statSync(`${dir}/a`).mode & 0o777, 0o600);
      unlinkSync(`${dir}/a`);
      assert.equal(statSync(`${dir}/b`).nlink, 1);
      assert.equal(readFileSync(`${dir}/b`, "utf8"), "content");
    },
    "no hard link to a directory, nor over anything": (dir) => {
      mkdirSync(`${dir}/sub`);
      writeFileSync(`${dir}/a`, "");
      fails("EPERM", () => linkSync(`${dir}/sub`, `${dir}/other`));
      fails("EEXIST", () => linkSync(`${dir}/a`, `${dir}/sub`));
    },
    "a hard link to a symbolic link is the link": (dir) => {
      symlinkSync("nowhere", `${dir}/symbolic`);
      linkSync(`${dir}/symbolic`, `${dir}/hard`);
      assert.equal(readlinkSync(`${dir}/hard`), "nowhere");
      assert.equal(lstatSync(`${dir}/hard`).nlink, 2);
    },
    "a directory counts its subdirectories": (dir) => {
      mkdirSync(`${dir}/sub`);
      assert.equal(statSync(`${dir}/sub`).nlink, 2);
      mkdirSync(`${dir}/sub/one`);
      mkdirSync(`${dir}/sub/two`);
      assert.equal(statSync(`${dir}/sub`).nlink, 4);
      rmdirSync(`${dir}/sub/one`);
      assert.equal(statSync(`${dir}/sub`).nlink, 3);
    },
    "an unlinked file lives on in its descriptor": (dir) => {
      const fd = openSync(`${dir}/file`, "wx+", 0o600);
      writeSync(fd, "content");
      unlinkSync(`${dir}/file`);
      assert.equal(fstatSync(fd).nlink, 0);
      writeSync(fd, "CONTENT", 0);
      ftruncateSync(fd, 4);
      fchmodSync(fd, 0o640);
      assert.equal(readAll(fd), "CONT");
      assert.deepEqual([fstatSync(fd).size, fstatSync(fd).mode & 0o777], [4, 0o640]);
      closeSync(fd);
      fails("ENOENT", () => statSync(`${dir}/file`));
    },
    "a file that a rename replaced lives on in its descriptor": (dir) => {
      writeFileSync(`${dir}/old`, "old");
      writeFileSync(`${dir}/new`, "new");
      const fd = openSync(`${dir}/old`, "r+");
      renameSync(`${dir}/new`, `${dir}/old`);
      assert.equal(readAll(fd), "old");
      assert.equal(fstatSync(fd).nlink, 0);
      assert.equal(readFileSync(`${dir}/old`, "utf8"), "new");
      closeSync(fd);
    },
    "a name that is made again is another file": (dir) => {
      writeFileSync(`${dir}/file`, "first");
      const fd = openSync(`${dir}/file`, "r");
      unlinkSync(`${dir}/file`);
      writeFileSync(`${dir}/file`, "second");
      assert.notEqual(statSync(`${dir}/file`).ino, fstatSync(fd).ino);
      assert.equal(readAll(fd), "first");
      closeSync(fd);
    },
    "O_TMPFILE makes a file without a name, which may get one": (dir) => {
      const fd = as(ALICE, () => openTemporary(dir, 0o640));
      writeSync(fd, "content");
      assert.deepEqual([fstatSync(fd).nlink, fstatSync(fd).uid], [0, ALICE.uid]);
      linkDescriptor(fd, `${dir}/named`);
      assert.equal(fstatSync(fd).nlink, 1);
      assert.equal(readFileSync(`${dir}/named`, "utf8"), "content");
      assert.equal(statSync(`${dir}/named`).mode & 0o777, 0o640);
      fails("EEXIST", () => linkDescriptor(fd, `${dir}/named`));
      closeSync(fd);
    },
    "what a symbolic link says comes back to the byte": (dir) => {
      for (const [name, target] of [
        ["short", "x"],
        ["long", "y".repeat(4095)],
        ["utf8", "ünïcode/☃"],
      ] as const) {
        symlinkSync(target, `${dir}/${name}`);
        assert.equal(readlinkSync(`${dir}/${name}`), target);
        assert.equal(lstatSync(`${dir}/${name}`).size, Buffer.byteLength(target));
      }
    },
    "a removed working directory is empty, and nothing can be made there": (dir) => {
      const before = process.cwd();
      mkdirSync(`${dir}/sub`);
      process.chdir(`${dir}/sub`);
      try {
        rmdirSync(`${dir}/sub`);
        fails("ENOENT", () => writeFileSync("file", ""));
        fails("ENOENT", () => mkdirSync("dir"));
        assert.equal(statSync(".").nlink, 0);
      } finally {
        process.chdir(before);
      }
    },
  },
};
