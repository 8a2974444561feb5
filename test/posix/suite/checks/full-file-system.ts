import assert from "node:assert/strict";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { fallocate } from "../calls.js";
import { fails, type Group } from "../check.js";

const { O_RDWR, O_CREAT, O_SYNC } = constants;
const CHUNK = Buffer.alloc(300_000, "full");

/** More than there can be room for. */
const CHUNKS_MAX = 100;

/** Writes until there is no room, and says how much was taken. */
function fill(fd: number): { written: number; wasShort: boolean } {
  let written = 0;
  let wasShort = false;
  const writeOn = () => {
    for (let chunk = 0; chunk < CHUNKS_MAX; chunk++) {
      const count = writeSync(fd, CHUNK);
      written += count;
      wasShort ||= count < CHUNK.length;
    }
  };
  fails("ENOSPC", writeOn, `writing ${CHUNKS_MAX} chunks`);
  return { written, wasShort };
}

/** Runs `use` on a new file and removes it: what one check could not write must not stay for the next one. */
function withFile(dir: string, flags: number, use: (fd: number) => void): void {
  const path = `${dir}/file`;
  const fd = openSync(path, O_RDWR | O_CREAT | flags, 0o600);
  try {
    use(fd);
  } finally {
    try {
      closeSync(fd);
    } catch {
      // With writeback it says once more that there was no room.
    }
    unlinkSync(path);
  }
}

export const fullFileSystem: Group = {
  name: "a full file system",
  place: "small",
  checks: {
    "takes what there is room for, says how much that was, then ENOSPC": (dir) =>
      withFile(dir, 0, (fd) => {
        const { written, wasShort } = fill(fd);
        assert.ok(wasShort);
        assert.equal(fstatSync(fd).size, written);
        const content = readFileSync(`${dir}/file`);
        assert.equal(content.length, written);
        for (let at = 0; at < written; at += CHUNK.length)
          assert.equal(content.toString("latin1", at, at + 4), "full".slice(0, written - at));
      }),
    "what a write with O_SYNC was told of is there": (dir) =>
      withFile(dir, O_SYNC, (fd) => {
        const { written } = fill(fd);
        assert.ok(written > CHUNK.length);
        const content = readFileSync(`${dir}/file`).subarray(0, written);
        assert.equal(content.length, written);
        for (let at = 0; at < written; at += CHUNK.length)
          assert.equal(content.toString("latin1", at, at + 4), "full".slice(0, written - at));
      }),
    "that a write found no room is said by it, or by fsync": (dir) => {
      withFile(dir, 0, (fd) =>
        fails("ENOSPC", () => {
          for (let chunk = 0; chunk < CHUNKS_MAX; chunk++) writeSync(fd, CHUNK);
          fsyncSync(fd);
        }),
      );
      writeFileSync(`${dir}/other`, CHUNK);
    },
    "can be overwritten, and has room again when something goes": (dir) => {
      const free = statfsSync(dir).bfree;
      withFile(dir, 0, (fd) => {
        fill(fd);
        assert.ok(statfsSync(dir).bfree < free);
        assert.equal(writeSync(fd, "over", 0), 4);
      });
      assert.equal(statfsSync(dir).bfree, free);
      writeFileSync(`${dir}/other`, CHUNK);
    },
    "allocates nothing that is not there, and leaves the length": (dir) => {
      withFile(dir, 0, (fd) => {
        fails("ENOSPC", () => fallocate(fd, 0, 0, 2 ** 30));
        assert.equal(fstatSync(fd).size, 0);
      });
      writeFileSync(`${dir}/other`, CHUNK);
    },
    "without inodes makes neither files nor directories, and still writes": (dir) => {
      const names: string[] = [];
      writeFileSync(`${dir}/file`, "");
      fails("ENOSPC", () => {
        for (let index = 0; index < 10_000; index++) {
          closeSync(openSync(`${dir}/f${index}`, "wx"));
          names.push(`f${index}`);
        }
      });
      assert.equal(statfsSync(dir).ffree, 0);
      fails("ENOSPC", () => mkdirSync(`${dir}/sub`));
      writeFileSync(`${dir}/file`, "content");
      assert.equal(readFileSync(`${dir}/file`, "utf8"), "content");
      unlinkSync(`${dir}/${names.at(-1)}`);
      mkdirSync(`${dir}/sub`);
    },
  },
};
