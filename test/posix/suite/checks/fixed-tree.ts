import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { SEEK_DATA, SEEK_HOLE } from "../../../../lib/sys/file.js";
import { type Mapping, mapShared, viewOf } from "../../../../lib/sys/mapping.js";
import { seek, setXattr } from "../calls.js";
import { fails, type Group } from "../check.js";
import { FIXED, LARGE_BYTES, LARGE_MARKS, MARK, PATTERN_BYTES, pattern, TEXT } from "../fixed-tree.js";

const PAGE = 4096;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** Calls `use` with a file that is open for reading. */
function withOpen(path: string, use: (fd: number) => void): void {
  const fd = openSync(path, "r");
  try {
    use(fd);
  } finally {
    closeSync(fd);
  }
}

/** Calls `use` with bytes of a file that is mapped from a page on. */
function withMapped(fd: number, offset: number, bytes: number, use: (memory: Buffer) => void): void {
  const mapping: Mapping = mapShared(fd, offset, bytes);
  try {
    use(Buffer.from(viewOf(mapping, 0, bytes)));
  } finally {
    mapping.unmap();
  }
}

/** Mapped from the host's memory with DAX, read and cached without: the same either way. */
export const fixedTree: Group = {
  name: "a tree that cannot change",
  place: "fixed",
  checks: {
    "refuses every change": (dir) => {
      const at = (name: string) => `${dir}/${name}`;
      const changes: Readonly<Record<string, () => unknown>> = {
        // Where a guest does without OPEN, the descriptor is there, and the write fails.
        write: () => writeFileSync(at(FIXED.text), "x", { flag: "r+" }),
        append: () => writeFileSync(at(FIXED.text), "x", { flag: "a" }),
        create: () => openSync(at("new"), "wx"),
        truncate: () => truncateSync(at(FIXED.text), 1),
        mkdir: () => mkdirSync(at("new")),
        symlink: () => symlinkSync("x", at("new")),
        link: () => linkSync(at(FIXED.text), at("new")),
        rename: () => renameSync(at(FIXED.text), at("new")),
        unlink: () => unlinkSync(at(FIXED.text)),
        rmdir: () => rmdirSync(at(FIXED.directory)),
        chmod: () => chmodSync(at(FIXED.text), 0o600),
        chown: () => chownSync(at(FIXED.text), 1, 1),
        utimes: () => utimesSync(at(FIXED.text), 1, 1),
        setxattr: () => setXattr(at(FIXED.text), "user.x", Buffer.from("x")),
      };
      for (const [name, change] of Object.entries(changes)) fails("EROFS", change, name);
      assert.deepEqual(readdirSync(dir).sort(), Object.values(FIXED).sort());
      assert.equal(readFileSync(at(FIXED.link), "utf8"), TEXT);
    },
    "maps what it reads, over the borders of ranges, with zeroes behind the end": (dir) => {
      const expected = pattern();
      assert.ok(readFileSync(`${dir}/${FIXED.pattern}`).equals(expected));
      const bytes = Math.ceil(PATTERN_BYTES / PAGE) * PAGE;
      withOpen(`${dir}/${FIXED.pattern}`, (fd) =>
        withMapped(fd, 0, bytes, (memory) => {
          assert.ok(memory.subarray(0, PATTERN_BYTES).equals(expected));
          assert.ok(memory.subarray(PATTERN_BYTES).equals(Buffer.alloc(bytes - PATTERN_BYTES)));
        }),
      );
      withOpen(`${dir}/${FIXED.pattern}`, (fd) =>
        withMapped(fd, 2 * MiB - PAGE, 2 * PAGE, (memory) =>
          assert.ok(memory.equals(expected.subarray(2 * MiB - PAGE, 2 * MiB + PAGE))),
        ),
      );
    },
    "reads end where the file does": (dir) => {
      withOpen(`${dir}/${FIXED.pattern}`, (fd) => {
        const buffer = Buffer.alloc(PAGE);
        assert.equal(readSync(fd, buffer, 0, PAGE, PATTERN_BYTES - 100), 100);
        assert.equal(readSync(fd, buffer, 0, PAGE, PATTERN_BYTES), 0);
        assert.equal(readSync(fd, buffer, 0, PAGE, 10 * PATTERN_BYTES), 0);
      });
    },
    "is read and mapped past 4 GiB": (dir) => {
      const path = `${dir}/${FIXED.large}`;
      assert.equal(statSync(path).size, LARGE_BYTES);
      withOpen(path, (fd) => {
        const buffer = Buffer.alloc(MARK.length + 2);
        for (const offset of LARGE_MARKS.slice(1, -1)) {
          assert.equal(readSync(fd, buffer, 0, buffer.length, offset - 1), buffer.length);
          assert.equal(buffer.toString("latin1"), `\0${MARK}\0`);
          const page = Math.floor((offset - 1) / PAGE) * PAGE;
          withMapped(fd, page, 2 * PAGE, (memory) =>
            assert.equal(memory.toString("latin1", offset - 1 - page).slice(0, buffer.length), `\0${MARK}\0`),
          );
        }
        withMapped(fd, 5 * GiB, PAGE, (memory) =>
          assert.equal(memory.toString("latin1", 0, buffer.length), `${MARK}\0\0`),
        );
      });
    },
    "holes are zeroes, and found": (dir) => {
      withOpen(`${dir}/${FIXED.large}`, (fd) => {
        assert.equal(seek(fd, PAGE, SEEK_DATA), 2 * GiB - PAGE);
        assert.equal(seek(fd, 0, SEEK_HOLE), PAGE);
        withMapped(fd, GiB, 3 * PAGE, (memory) => assert.ok(memory.equals(Buffer.alloc(3 * PAGE))));
      });
    },
    "runs a program": (dir) => {
      assert.equal(spawnSync(`${dir}/${FIXED.script}`).status, 7);
    },
  },
};
