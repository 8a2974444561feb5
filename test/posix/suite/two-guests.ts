import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import {
  F_SETLK,
  F_SETLKW,
  F_UNLCK,
  F_WRLCK,
  flock,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
  lock,
} from "./calls.js";
import { type Check, fails } from "./check.js";
import { format } from "./report.js";
import { outcomeOf } from "./run.js";

/** Words on the command line: which of two guests this one is. */
export const GUESTS = ["--one-guest", "--other-guest"] as const;
/** In the last directory, tells that the other guest can end. */
export const HELD = "held";
const LINES = 100;
const LONG_MS = 1e9;
const POLL_MS = 20;

/** Each guest's part of a statement, in a directory that both have. They take turns by making files. */
interface Parts {
  readonly one: Check;
  readonly other: Check;
}

async function turn(path: string): Promise<void> {
  while (!existsSync(path)) await delay(POLL_MS);
}

const endTurn = (path: string) => writeFileSync(path, "");

function withFile(dir: string, use: (fd: number) => void | Promise<void>): Promise<void> {
  const fd = openSync(`${dir}/file`, "a+");
  return Promise.resolve(use(fd)).finally(() => closeSync(fd));
}

const STATEMENTS: Readonly<Record<string, Parts>> = {
  "a file that one guest has locked, another cannot lock": {
    one: (dir) =>
      withFile(dir, async (fd) => {
        flock(fd, LOCK_EX);
        lock(fd, F_SETLK, F_WRLCK, 10, 10);
        endTurn(`${dir}/locked`);
        await turn(`${dir}/refused`);
        flock(fd, LOCK_UN);
        lock(fd, F_SETLK, F_UNLCK, 0, 0);
        endTurn(`${dir}/free`);
        await turn(`${dir}/taken`);
        fails("EAGAIN", () => flock(fd, LOCK_SH | LOCK_NB));
        fails("EAGAIN", () => lock(fd, F_SETLK, F_WRLCK, 10, 1));
        endTurn(`${dir}/end`);
      }),
    other: async (dir) => {
      await turn(`${dir}/locked`);
      await withFile(dir, async (fd) => {
        fails("EAGAIN", () => flock(fd, LOCK_SH | LOCK_NB));
        fails("EAGAIN", () => lock(fd, F_SETLK, F_WRLCK, 19, 1));
        lock(fd, F_SETLK, F_WRLCK, 20, 1);
        endTurn(`${dir}/refused`);
        await turn(`${dir}/free`);
        flock(fd, LOCK_EX | LOCK_NB);
        lock(fd, F_SETLK, F_WRLCK, 0, 0);
        endTurn(`${dir}/taken`);
        await turn(`${dir}/end`);
      });
    },
  },
  "who waits for a lock gets it when another guest gives it back": {
    one: (dir) =>
      withFile(dir, async (fd) => {
        lock(fd, F_SETLK, F_WRLCK, 0, 0);
        endTurn(`${dir}/locked`);
        await turn(`${dir}/waits`);
        await delay(300);
        endTurn(`${dir}/given-back`);
        lock(fd, F_SETLK, F_UNLCK, 0, 0);
        await turn(`${dir}/taken`);
      }),
    other: async (dir) => {
      await turn(`${dir}/locked`);
      await withFile(dir, (fd) => {
        endTurn(`${dir}/waits`);
        lock(fd, F_SETLKW, F_WRLCK, 0, 0);
        assert.ok(existsSync(`${dir}/given-back`));
        endTurn(`${dir}/taken`);
      });
    },
  },
  "what one guest does another one sees, without a cache at once": {
    one: async (dir) => {
      writeFileSync(`${dir}/file`, "first");
      endTurn(`${dir}/written`);
      await turn(`${dir}/longer`);
      assert.equal(readFileSync(`${dir}/file`, "utf8"), "first, longer");
      renameSync(`${dir}/file`, `${dir}/renamed`);
      endTurn(`${dir}/moved`);
      await turn(`${dir}/removed`);
      assert.ok(!existsSync(`${dir}/renamed`));
    },
    other: async (dir) => {
      await turn(`${dir}/written`);
      const fd = openSync(`${dir}/file`, "a");
      assert.equal(readFileSync(`${dir}/file`, "utf8"), "first");
      writeSync(fd, ", longer");
      endTurn(`${dir}/longer`);
      await turn(`${dir}/moved`);
      assert.ok(!existsSync(`${dir}/file`));
      assert.equal(statSync(`${dir}/renamed`).size, 13);
      unlinkSync(`${dir}/renamed`);
      closeSync(fd);
      endTurn(`${dir}/removed`);
    },
  },
  "lines that two guests append to one file are whole": {
    one: async (dir) => {
      append(dir, "a line of one guest\n");
      await turn(`${dir}/appended`);
      const lines = readFileSync(`${dir}/file`, "utf8").split("\n");
      assert.equal(lines.length, 2 * LINES + 1);
      assert.equal(lines.filter((line) => line === "a line of one guest").length, LINES);
      assert.equal(lines.filter((line) => line === "another line").length, LINES);
      endTurn(`${dir}/end`);
    },
    other: async (dir) => {
      append(dir, "another line\n");
      endTurn(`${dir}/appended`);
      await turn(`${dir}/end`);
    },
  },
  "what a guest had locked is free when it is gone": {
    one: async (dir) => {
      await turn(`${dir}/${HELD}`);
      await withFile(dir, (fd) => {
        flock(fd, LOCK_EX);
        lock(fd, F_SETLKW, F_WRLCK, 0, 0);
      });
    },
    other: (dir) =>
      withFile(dir, async (fd) => {
        flock(fd, LOCK_EX);
        lock(fd, F_SETLK, F_WRLCK, 0, 0);
        endTurn(`${dir}/${HELD}`);
        // Until the guest ends.
        await delay(LONG_MS);
      }),
  },
};

function append(dir: string, line: string): void {
  const fd = openSync(`${dir}/file`, "a");
  for (let count = 0; count < LINES; count++) writeSync(fd, line);
  closeSync(fd);
}

/** The names of the directories below the shared one in which the statements are checked, in this order. */
export const TWO_GUESTS_DIRECTORIES = Object.keys(STATEMENTS).map((_, index) => `turns-${index}`);

/** Checks this guest's part of all statements; the other guest has to do so at the same time. */
export async function runWithOtherGuest(guest: string, root: string): Promise<void> {
  for (const [index, [name, { one, other }]] of Object.entries(STATEMENTS).entries()) {
    const dir = `${root}/${TWO_GUESTS_DIRECTORIES[index]}`;
    const part = guest === GUESTS[0] ? one : other;
    console.log(format({ name, ...(await outcomeOf(() => part(dir))) }));
  }
}
