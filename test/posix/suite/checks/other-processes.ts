import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { SEEK_SET } from "../../../../lib/sys/file.js";
import {
  F_GETLK,
  F_RDLCK,
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
  readEntries,
  seek,
} from "../calls.js";
import { type Check, fails, type Group } from "../check.js";
import { Peer } from "../peer.js";

/** A file that this process and another one have open. */
interface Shared {
  readonly path: string;
  readonly fd: number;
  readonly peer: Peer;
  /** The descriptor of the peer. */
  readonly theirs: number;
}

/** One for all checks, since Node.js takes its time to start; none when the last check was not as it should be. */
let idle: Peer | undefined;

/** Has `use` make use of another process, which must be at its disposal again afterwards. */
async function withPeer(use: (peer: Peer) => Promise<void>): Promise<void> {
  const peer = idle ?? Peer.start();
  idle = undefined;
  try {
    await use(peer);
  } catch (error) {
    await peer.kill();
    throw error;
  }
  if (peer.isAlive) idle = peer;
}

function sharing(use: (shared: Shared) => Promise<void>): Check {
  return (dir) =>
    withPeer(async (peer) => {
      const path = `${dir}/file`;
      writeFileSync(path, "content");
      const fd = openSync(path, "r+");
      try {
        const theirs = await peer.call("open", path, "r+");
        await use({ path, fd, peer, theirs });
        if (peer.isAlive) await peer.call("close", theirs);
      } finally {
        closeSync(fd);
      }
    });
}

async function refused(call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, { code: "EAGAIN" });
}

/** Whether `call` is still waiting after a while in which it could have ended. */
async function isWaiting(call: Promise<unknown>): Promise<boolean> {
  const ended = call.then(
    () => false,
    () => false,
  );
  return Promise.race([ended, delay(200, true)]);
}

const NAMES = 300;

/** All names of the directory `fd`; after each piece it goes to the beginning, and back to where the last entry says. */
async function namesWithSeeks(fd: number): Promise<string[]> {
  const names: string[] = [];
  seek(fd, 0, SEEK_SET);
  for (let some = readEntries(fd, 1024); some.length > 0; some = readEntries(fd, 1024)) {
    names.push(...some.map(({ name }) => name));
    seek(fd, 0, SEEK_SET);
    readEntries(fd, 1024);
    seek(fd, some.at(-1)?.next ?? 0n, SEEK_SET);
    await delay(0);
  }
  return names;
}

export const otherProcesses: Group = {
  name: "other processes",
  checks: {
    "a range that one has locked another one cannot lock, and sees": sharing(async ({ fd, peer, theirs }) => {
      lock(fd, F_SETLK, F_WRLCK, 0, 10);
      await refused(peer.call("lock", theirs, F_SETLK, F_RDLCK, 9, 1));
      assert.equal(await peer.call("lock", theirs, F_GETLK, F_RDLCK, 0, 0), F_WRLCK);
      await peer.call("lock", theirs, F_SETLK, F_WRLCK, 10, 10);
      fails("EAGAIN", () => lock(fd, F_SETLK, F_RDLCK, 0, 11));
      lock(fd, F_SETLK, F_UNLCK, 0, 0);
      assert.equal(await peer.call("lock", theirs, F_GETLK, F_WRLCK, 0, 10), F_UNLCK);
    }),
    "F_GETLK tells whose range is in the way, what is left of it, and its process": sharing(
      async ({ fd, peer, theirs }) => {
        await peer.call("lock", theirs, F_SETLK, F_WRLCK, 100, 50);
        await peer.call("lock", theirs, F_SETLK, F_UNLCK, 110, 40);
        const found = lock(fd, F_GETLK, F_RDLCK, 50, 0);
        assert.deepEqual(found, { type: F_WRLCK, start: 100, length: 10, pid: peer.pid });
      },
    ),
    "who waits for a range gets it when it is given back": sharing(async ({ fd, peer, theirs }) => {
      lock(fd, F_SETLK, F_WRLCK, 0, 0);
      const waiting = peer.call("lock", theirs, F_SETLKW, F_WRLCK, 0, 0);
      assert.ok(await isWaiting(waiting));
      lock(fd, F_SETLK, F_UNLCK, 0, 0);
      await waiting;
      fails("EAGAIN", () => lock(fd, F_SETLK, F_RDLCK, 0, 0));
    }),
    "two that wait for each other: the second is told EDEADLK": sharing(async ({ fd, peer, theirs }) => {
      lock(fd, F_SETLK, F_WRLCK, 0, 1);
      await peer.call("lock", theirs, F_SETLK, F_WRLCK, 1, 1);
      const waiting = peer.call("lock", theirs, F_SETLKW, F_WRLCK, 0, 1);
      assert.ok(await isWaiting(waiting));
      fails("EDEADLK", () => lock(fd, F_SETLKW, F_WRLCK, 1, 1));
      lock(fd, F_SETLK, F_UNLCK, 0, 0);
      await waiting;
    }),
    "flock waits for another process": sharing(async ({ fd, peer, theirs }) => {
      flock(fd, LOCK_SH);
      const waiting = peer.call("flock", theirs, LOCK_EX);
      assert.ok(await isWaiting(waiting));
      flock(fd, LOCK_EX | LOCK_NB);
      assert.ok(await isWaiting(waiting));
      flock(fd, LOCK_UN);
      await waiting;
    }),
    "an inherited descriptor has the flock of its maker, a lock of ranges it has not": async (dir) => {
      writeFileSync(`${dir}/file`, "content");
      const fd = openSync(`${dir}/file`, "r+");
      const other = openSync(`${dir}/file`, "r+");
      flock(fd, LOCK_EX);
      lock(fd, F_SETLK, F_WRLCK, 0, 0);
      const peer = Peer.start([fd]);
      await peer.call("flock", 3, LOCK_EX | LOCK_NB);
      await refused(peer.call("lock", 3, F_SETLK, F_RDLCK, 0, 0));
      closeSync(fd);
      fails("EAGAIN", () => flock(other, LOCK_SH | LOCK_NB));
      await peer.kill();
      flock(other, LOCK_EX | LOCK_NB);
      closeSync(other);
    },
    "two that append leave each line whole": sharing(async ({ path, peer }) => {
      const target = readFileSync(path, "utf8").length;
      const [own, theirs] = [openSync(path, "a"), await peer.call("open", path, "a")];
      for (let count = 0; count < 20; count++) {
        const writing = peer.call("write", theirs, "theirs\n");
        writeFileSync(own, "own line\n");
        await writing;
      }
      closeSync(own);
      await peer.call("close", theirs);
      const lines = readFileSync(path, "utf8").slice(target).split("\n");
      assert.equal(lines.filter((line) => line === "theirs").length, 20);
      assert.equal(lines.filter((line) => line === "own line").length, 20);
      assert.equal(lines.length, 41);
    }),
    "offsets of a directory hold while another process makes and removes names": (dir) =>
      withPeer(async (peer) => {
        for (let index = 0; index < NAMES; index++) writeFileSync(`${dir}/stays-${index}`, "");
        const fd = openSync(dir, "r");
        const churning = peer.call("churn", dir, 500);
        let isChurning = true;
        const end = () => {
          isChurning = false;
        };
        churning.then(end, end);
        for (let round = 0; isChurning || round < 2; round++) {
          const stayed = (await namesWithSeeks(fd)).filter((name) => name.startsWith("stays-"));
          assert.equal(stayed.length, NAMES, `round ${round}`);
          assert.equal(new Set(stayed).size, NAMES);
        }
        closeSync(fd);
        assert.ok((await churning) > 10);
      }),
    "what a killed process had locked is free": sharing(async ({ fd, peer, theirs }) => {
      await peer.call("lock", theirs, F_SETLK, F_WRLCK, 0, 0);
      await peer.call("flock", theirs, LOCK_EX);
      fails("EAGAIN", () => lock(fd, F_SETLK, F_RDLCK, 0, 0));
      fails("EAGAIN", () => flock(fd, LOCK_SH | LOCK_NB));
      await peer.kill();
      lock(fd, F_SETLK, F_WRLCK, 0, 0);
      flock(fd, LOCK_EX | LOCK_NB);
    }),
  },
};
