import assert from "node:assert/strict";
import { closeSync, openSync, writeFileSync } from "node:fs";
import {
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_RDLCK,
  F_SETLK,
  F_UNLCK,
  F_WRLCK,
  flock,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
  lock,
} from "../calls.js";
import { fails, type Group } from "../check.js";

/** Calls `use` with two open file descriptions of one file: owners of locks as different as two programs are. */
function withTwo(dir: string, use: (one: number, other: number) => void): void {
  writeFileSync(`${dir}/file`, "content");
  const one = openSync(`${dir}/file`, "r+");
  const other = openSync(`${dir}/file`, "r+");
  try {
    use(one, other);
  } finally {
    closeSync(one);
    closeSync(other);
  }
}

export const locks: Group = {
  name: "locks",
  checks: {
    "flock: one exclusive or many shared": (dir) => {
      withTwo(dir, (one, other) => {
        flock(one, LOCK_EX | LOCK_NB);
        fails("EAGAIN", () => flock(other, LOCK_SH | LOCK_NB));
        flock(one, LOCK_SH | LOCK_NB);
        flock(other, LOCK_SH | LOCK_NB);
        fails("EAGAIN", () => flock(other, LOCK_EX | LOCK_NB));
        flock(one, LOCK_UN);
        flock(other, LOCK_EX | LOCK_NB);
      });
    },
    "flock ends with the last descriptor": (dir) => {
      withTwo(dir, (_, other) => {
        const third = openSync(`${dir}/file`, "r+");
        flock(third, LOCK_EX | LOCK_NB);
        fails("EAGAIN", () => flock(other, LOCK_EX | LOCK_NB));
        closeSync(third);
        flock(other, LOCK_EX | LOCK_NB);
      });
    },
    "ranges: those that do not overlap stand side by side": (dir) => {
      withTwo(dir, (one, other) => {
        lock(one, F_OFD_SETLK, F_WRLCK, 0, 10);
        lock(other, F_OFD_SETLK, F_WRLCK, 10, 10);
        fails("EAGAIN", () => lock(other, F_OFD_SETLK, F_RDLCK, 5, 1));
        lock(one, F_OFD_SETLK, F_UNLCK, 5, 5);
        lock(other, F_OFD_SETLK, F_RDLCK, 5, 1);
      });
    },
    "ranges: the one in the way is named": (dir) => {
      withTwo(dir, (one, other) => {
        lock(one, F_OFD_SETLK, F_WRLCK, 100, 10);
        const found = lock(other, F_OFD_GETLK, F_RDLCK, 0, 0);
        assert.deepEqual([found.type, found.start, found.length], [F_WRLCK, 100, 10]);
        assert.equal(lock(other, F_OFD_GETLK, F_RDLCK, 0, 100).type, F_UNLCK);
      });
    },
    "locks of a process stand against those of a descriptor": (dir) => {
      withTwo(dir, (one, other) => {
        lock(one, F_SETLK, F_WRLCK, 0, 0);
        fails("EAGAIN", () => lock(other, F_OFD_SETLK, F_RDLCK, 7, 1));
        lock(one, F_SETLK, F_UNLCK, 0, 0);
        lock(other, F_OFD_SETLK, F_WRLCK, 7, 1);
        fails("EAGAIN", () => lock(one, F_SETLK, F_RDLCK, 0, 0));
      });
    },
    "locks of a process end when it closes the file, whichever descriptor": (dir) => {
      withTwo(dir, (one, other) => {
        lock(one, F_SETLK, F_WRLCK, 0, 0);
        closeSync(openSync(`${dir}/file`, "r"));
        lock(other, F_OFD_SETLK, F_WRLCK, 0, 0);
      });
    },
    "a lock to write wants a descriptor to write": (dir) => {
      writeFileSync(`${dir}/file`, "");
      const reader = openSync(`${dir}/file`, "r");
      fails("EBADF", () => lock(reader, F_SETLK, F_WRLCK, 0, 0));
      lock(reader, F_SETLK, F_RDLCK, 0, 0);
      closeSync(reader);
    },
  },
};
