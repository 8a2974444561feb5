import assert from "node:assert/strict";
import {
  accessSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { fails, type Group } from "../check.js";

const NAME_MAX = 255;
const PATH_MAX = 4096;

/** A path to `dir` with as many slashes and dots as make it `length` bytes long. */
function longPath(dir: string, name: string, length: number): string {
  const room = length - dir.length - name.length - 1;
  const filler = "/.".repeat(Math.floor(room / 2)) + "/".repeat(room % 2);
  return `${dir}${filler}/${name}`;
}

/** Calls that take one path, by name. */
const CALLS: Readonly<Record<string, (path: string) => unknown>> = {
  stat: statSync,
  lstat: lstatSync,
  open: (path) => closeSync(openSync(path, "r")),
  create: (path) => closeSync(openSync(path, "wx")),
  mkdir: (path) => mkdirSync(path),
  rmdir: rmdirSync,
  unlink: unlinkSync,
  truncate: (path) => truncateSync(path, 0),
  readlink: (path) => readlinkSync(path),
  symlink: (path) => symlinkSync("x", path),
  "rename from": (path) => renameSync(path, `${path}2`),
  "link from": (path) => linkSync(path, `${path}2`),
  access: (path) => accessSync(path),
};

/** Fails with the names of those of {@link CALLS} that do not end with `code`. */
function allFail(code: string, path: string): void {
  for (const [name, call] of Object.entries(CALLS)) fails(code, () => call(path), name);
}

export const paths: Group = {
  name: "paths",
  checks: {
    "a name of 255 bytes is good, one of 256 too long, in every call": (dir) => {
      const longest = "n".repeat(NAME_MAX);
      writeFileSync(`${dir}/${longest}`, "content");
      assert.deepEqual(readdirSync(dir), [longest]);
      mkdirSync(`${dir}/sub`);
      linkSync(`${dir}/${longest}`, `${dir}/sub/${longest}`);
      renameSync(`${dir}/sub/${longest}`, `${dir}/sub/${"é".repeat(127)}x`);
      allFail("ENAMETOOLONG", `${dir}/${longest}x`);
      allFail("ENAMETOOLONG", `${dir}/${longest}x/below`);
      fails("ENAMETOOLONG", () => renameSync(`${dir}/${longest}`, `${dir}/${longest}x`));
    },
    "a path of 4095 bytes is good, one of 4096 too long": (dir) => {
      writeFileSync(`${dir}/file`, "content");
      assert.equal(readFileSync(longPath(dir, "file", PATH_MAX - 1), "utf8"), "content");
      fails("ENAMETOOLONG", () => statSync(longPath(dir, "file", PATH_MAX)));
    },
    "names are bytes": (dir) => {
      const raw = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0x0a, 0x01, 0x80])]);
      writeFileSync(raw, "content");
      assert.deepEqual(readdirSync(dir, { encoding: "buffer" })[0], raw.subarray(dir.length + 1));
      assert.equal(readFileSync(raw, "utf8"), "content");
    },
    "links are followed 40 deep and no deeper": (dir) => {
      writeFileSync(`${dir}/0`, "content");
      for (let depth = 1; depth <= 41; depth++) symlinkSync(`${depth - 1}`, `${dir}/${depth}`);
      assert.equal(readFileSync(`${dir}/40`, "utf8"), "content");
      fails("ELOOP", () => readFileSync(`${dir}/41`));
    },
    "links that go round are told so": (dir) => {
      symlinkSync("b", `${dir}/a`);
      symlinkSync("a", `${dir}/b`);
      fails("ELOOP", () => statSync(`${dir}/a`));
      fails("ELOOP", () => openSync(`${dir}/a/file`, "wx"));
      assert.equal(readlinkSync(`${dir}/a`), "b");
      unlinkSync(`${dir}/a`);
    },
    "a file on the way is no directory, in every call": (dir) => {
      writeFileSync(`${dir}/file`, "");
      allFail("ENOTDIR", `${dir}/file/below`);
    },
    "nothing on the way is nothing at the end, in every call": (dir) => {
      allFail("ENOENT", `${dir}/missing/below`);
    },
    "'.' and '..' are found, and cannot be made or removed": (dir) => {
      mkdirSync(`${dir}/sub`);
      assert.equal(statSync(`${dir}/sub/.`).ino, statSync(`${dir}/sub`).ino);
      assert.equal(statSync(`${dir}/sub/..`).ino, statSync(dir).ino);
      fails("EINVAL", () => rmdirSync(`${dir}/sub/.`));
      fails("ENOTEMPTY", () => rmdirSync(`${dir}/sub/..`));
      fails("EEXIST", () => mkdirSync(`${dir}/sub/.`));
      fails("EISDIR", () => unlinkSync(`${dir}/sub/.`));
    },
    "a slash at the end asks for a directory": (dir) => {
      writeFileSync(`${dir}/file`, "");
      fails("ENOTDIR", () => statSync(`${dir}/file/`));
      fails("EISDIR", () => openSync(`${dir}/new/`, "wx"));
      mkdirSync(`${dir}/sub/`);
      symlinkSync("sub", `${dir}/link`);
      assert.ok(lstatSync(`${dir}/link/`).isDirectory());
      assert.ok(!existsSync(`${dir}/new`));
    },
  },
};
