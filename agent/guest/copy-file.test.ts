import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { copyFile, type FileCopy } from "./copy-file.js";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "copy-file-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function copyOf(path: string, text: string, changes: Partial<FileCopy> = {}): FileCopy {
  const data = Buffer.from(text);
  return {
    path: join(root, path),
    sizeBytes: data.length,
    mode: 0o100640,
    directoryMode: 0o750,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    offsetBytes: 0,
    data,
    ...changes,
  };
}

describe("copyFile", () => {
  test("makes the directories on the way", () => {
    copyFile(copyOf("a/b/file", "text"), root);
    assert.equal(readFileSync(join(root, "a/b/file"), "utf8"), "text");
    assert.equal(lstatSync(join(root, "a/b/file")).mode & 0o7777, 0o640);
    assert.equal(lstatSync(join(root, "a/b")).mode & 0o7777, 0o750);
  });

  test("shows a file only when it is complete", () => {
    copyFile(copyOf("file", "ab", { sizeBytes: 4 }), root);
    assert.equal(existsSync(join(root, "file")), false);
    copyFile(copyOf("file", "cd", { sizeBytes: 4, offsetBytes: 2 }), root);
    assert.equal(readFileSync(join(root, "file"), "utf8"), "abcd");
  });

  test("makes links and directories", () => {
    copyFile(copyOf("link", "../target", { mode: 0o120777 }), root);
    assert.equal(readlinkSync(join(root, "link")), "../target");
    copyFile(copyOf("directory", "", { mode: 0o040700 }), root);
    assert.equal(lstatSync(join(root, "directory")).mode, 0o040700);
  });

  test("replaces a link instead of writing through it", () => {
    symlinkSync("/etc/passwd", join(root, "file"));
    copyFile(copyOf("file", "text"), root);
    assert.equal(lstatSync(join(root, "file")).isFile(), true);
  });

  test("does not go through a link on the way", () => {
    mkdirSync(join(root, "elsewhere"));
    symlinkSync("elsewhere", join(root, "a"));
    assert.throws(() => copyFile(copyOf("a/file", "text"), root), { code: "ENOTDIR" });
    assert.equal(existsSync(join(root, "elsewhere/file")), false);
  });

  for (const path of ["../outside", "a/../../outside", "", "a/.."]) {
    test(`refuses "${path}"`, () => {
      const copy = { ...copyOf("x", "text"), path: `${root}/${path}` };
      assert.throws(() => copyFile(copy, root), { code: "INVALID_ARGUMENT" });
    });
  }

  test("refuses devices", () => {
    assert.throws(() => copyFile(copyOf("null", "", { mode: 0o020666 }), root), { code: "INVALID_ARGUMENT" });
  });
});
