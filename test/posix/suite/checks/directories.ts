import assert from "node:assert/strict";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { SEEK_SET } from "../../../../lib/sys/file.js";
import { type Entry, readEntries, seek } from "../calls.js";
import { fails, type Group } from "../check.js";

/** More than some replies hold; many-files.ts has those of many more. */
const MANY = 2000;

function fill(dir: string, count: number): void {
  for (let index = 0; index < count; index++) closeSync(openSync(`${dir}/f${index}`, "wx"));
}

/** Calls `use` with an open directory. */
function withOpen(dir: string, use: (fd: number) => void): void {
  const fd = openSync(dir, "r");
  try {
    use(fd);
  } finally {
    closeSync(fd);
  }
}

/** Everything from where `fd` is to the end. `between` is called after each piece. */
function readOn(fd: number, bytes = 4096, between: () => void = () => {}): Entry[] {
  const all: Entry[] = [];
  for (let some = readEntries(fd, bytes); some.length > 0; some = readEntries(fd, bytes)) {
    all.push(...some);
    between();
  }
  return all;
}

const isOwn = ({ name }: Entry) => name !== "." && name !== "..";

export const directories: Group = {
  name: "directories",
  checks: {
    "hold '.', '..' and each name once, with its type": (dir) => {
      writeFileSync(`${dir}/file`, "");
      mkdirSync(`${dir}/sub`);
      withOpen(dir, (fd) => {
        const types = Object.fromEntries(readOn(fd).map(({ name, type }) => [name, type]));
        assert.deepEqual(types, { ".": 4, "..": 4, file: 8, sub: 4 });
      });
    },
    [`of ${MANY} entries are listed whole, and emptied`]: (dir) => {
      fill(dir, MANY);
      assert.equal(new Set(readdirSync(dir)).size, MANY);
      assert.equal(readdirSync(dir).length, MANY);
      for (let index = 0; index < MANY; index++) unlinkSync(`${dir}/f${index}`);
      assert.deepEqual(readdirSync(dir), []);
    },
    "are read on from where an entry says": (dir) => {
      fill(dir, 300);
      withOpen(dir, (fd) => {
        const all = readOn(fd);
        for (const index of [0, 1, 150, 299]) {
          const entry = all[index];
          assert.ok(entry);
          seek(fd, entry.next, SEEK_SET);
          const rest = readOn(fd).map(({ name }) => name);
          assert.deepEqual(
            rest,
            all.slice(index + 1).map(({ name }) => name),
          );
        }
        seek(fd, 0, SEEK_SET);
        assert.deepEqual(readOn(fd), all);
      });
    },
    "show what stays once each while names come and go": (dir) => {
      fill(dir, 600);
      let made = 0;
      withOpen(dir, (fd) => {
        const seen = readOn(fd, 1024, () => {
          for (let count = 0; count < 5; count++, made++) {
            closeSync(openSync(`${dir}/new${made}`, "wx"));
            if (made < 100) unlinkSync(`${dir}/f${made * 2}`);
          }
        });
        const names = seen.filter(isOwn).map(({ name }) => name);
        assert.equal(new Set(names).size, names.length);
        for (let index = 0; index < 600; index++)
          if (index % 2 === 1) assert.ok(names.includes(`f${index}`), `f${index}`);
      });
    },
    "are emptied while they are read": (dir) => {
      fill(dir, 500);
      withOpen(dir, (fd) => {
        for (let some = readEntries(fd, 512); some.length > 0; some = readEntries(fd, 512))
          for (const { name } of some.filter(isOwn)) unlinkSync(`${dir}/${name}`);
      });
      assert.deepEqual(readdirSync(dir), []);
    },
    "rewound show what is new": (dir) => {
      withOpen(dir, (fd) => {
        assert.equal(readOn(fd).filter(isOwn).length, 0);
        writeFileSync(`${dir}/new`, "");
        seek(fd, 0, SEEK_SET);
        assert.equal(readOn(fd).filter(isOwn).length, 1);
        renameSync(`${dir}/new`, `${dir}/renamed`);
        seek(fd, 0, SEEK_SET);
        assert.deepEqual(
          readOn(fd)
            .filter(isOwn)
            .map(({ name }) => name),
          ["renamed"],
        );
      });
    },
    "removed while open are no longer read": (dir) => {
      mkdirSync(`${dir}/sub`);
      withOpen(`${dir}/sub`, (fd) => {
        rmdirSync(`${dir}/sub`);
        fails("ENOENT", () => readOn(fd));
      });
    },
  },
};
