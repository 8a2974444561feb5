import assert from "node:assert/strict";
import {
  chmodSync,
  closeSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { AT_SYMLINK_NOFOLLOW } from "../../../../lib/sys/file.js";
import { setTimes, setXattr } from "../calls.js";
import { fails, type Group } from "../check.js";
import { ALICE, as, BOB } from "../users.js";

const SECOND = 1_000_000_000n;
const CLOCKS_DIFFER = 300n * SECOND;
/** Longer than a tick of the clock that file times are taken from. */
const TICK_MS = 20;

const timesOf = (path: string) => {
  const { atimeNs, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
  return { atime: atimeNs, mtime: mtimeNs, ctime: ctimeNs };
};

/** Which times of `path` are later after `change` than before. */
async function changedBy(path: string, change: () => void): Promise<string[]> {
  const before = timesOf(path);
  await delay(TICK_MS);
  change();
  const after = timesOf(path);
  return (["atime", "mtime", "ctime"] as const).filter((name) => after[name] > before[name]);
}

const CONTENT = ["mtime", "ctime"];
const INODE = ["ctime"];

export const times: Group = {
  name: "times",
  checks: {
    "are kept to the nanosecond, before 1970 and after 2106 as well": (dir) => {
      writeFileSync(`${dir}/file`, "");
      for (const time of [1_234_567_890_123_456_789n, -SECOND / 2n, 2n ** 32n * SECOND + 1n, 0n]) {
        setTimes(`${dir}/file`, time, time + 7n);
        const { atime, mtime } = timesOf(`${dir}/file`);
        assert.deepEqual([atime, mtime], [time, time + 7n]);
      }
    },
    "UTIME_OMIT leaves a time, UTIME_NOW takes the clock's": (dir) => {
      writeFileSync(`${dir}/file`, "");
      setTimes(`${dir}/file`, 1n * SECOND, 2n * SECOND);
      setTimes(`${dir}/file`, "omit", 3n * SECOND);
      assert.deepEqual([timesOf(`${dir}/file`).atime, timesOf(`${dir}/file`).mtime], [SECOND, 3n * SECOND]);
      setTimes(`${dir}/file`, "now", "omit");
      const { atime, mtime } = timesOf(`${dir}/file`);
      assert.equal(mtime, 3n * SECOND);
      // The clock may be that of another kernel.
      const ahead = atime - BigInt(Date.now()) * 1_000_000n;
      assert.ok(-CLOCKS_DIFFER < ahead && ahead < CLOCKS_DIFFER, `${ahead} ns`);
    },
    "of a symbolic link are its own": (dir) => {
      writeFileSync(`${dir}/file`, "");
      symlinkSync("file", `${dir}/link`);
      setTimes(`${dir}/link`, SECOND, SECOND, AT_SYMLINK_NOFOLLOW);
      assert.equal(timesOf(`${dir}/link`).mtime, SECOND);
      assert.notEqual(timesOf(`${dir}/file`).mtime, SECOND);
    },
    "who may write may set them to now, the owner to anything": (dir) => {
      writeFileSync(`${dir}/file`, "");
      chmodSync(`${dir}/file`, 0o666);
      as(BOB, () => {
        setTimes(`${dir}/file`, "now", "now");
        fails("EPERM", () => setTimes(`${dir}/file`, SECOND, SECOND));
        fails("EPERM", () => setTimes(`${dir}/file`, "now", "omit"));
      });
      chmodSync(`${dir}/file`, 0o600);
      fails("EACCES", () => as(ALICE, () => setTimes(`${dir}/file`, "now", "now")));
    },
    "change with contents": async (dir) => {
      writeFileSync(`${dir}/file`, "content");
      const path = `${dir}/file`;
      assert.deepEqual(await changedBy(path, () => writeFileSync(path, "x", { flag: "r+" })), CONTENT);
      assert.deepEqual(await changedBy(path, () => truncateSync(path, 2)), CONTENT);
      assert.deepEqual(await changedBy(path, () => writeFileSync(path, "")), CONTENT);
    },
    "change with the inode": async (dir) => {
      const path = `${dir}/file`;
      writeFileSync(path, "");
      assert.deepEqual(await changedBy(path, () => chmodSync(path, 0o600)), INODE);
      assert.deepEqual(await changedBy(path, () => setXattr(path, "user.x", Buffer.from("x"))), INODE);
      assert.deepEqual(await changedBy(path, () => linkSync(path, `${dir}/other`)), INODE);
      assert.deepEqual(await changedBy(path, () => unlinkSync(`${dir}/other`)), INODE);
      assert.deepEqual(await changedBy(path, () => setTimes(path, "omit", SECOND)), INODE);
    },
    "of a directory change with its names": async (dir) => {
      const sub = `${dir}/sub`;
      mkdirSync(sub);
      for (const change of [
        () => writeFileSync(`${sub}/a`, ""),
        () => mkdirSync(`${sub}/b`),
        () => renameSync(`${sub}/a`, `${sub}/c`),
        () => symlinkSync("x", `${sub}/link`),
        () => unlinkSync(`${sub}/c`),
      ])
        assert.deepEqual(await changedBy(sub, change), CONTENT);
      writeFileSync(`${sub}/file`, "");
      assert.deepEqual(await changedBy(sub, () => writeFileSync(`${sub}/file`, "content")), []);
    },
    "of access follow relatime: behind a change they are renewed": async (dir) => {
      const path = `${dir}/file`;
      writeFileSync(path, "content");
      await delay(TICK_MS);
      setTimes(path, SECOND, "now");
      const fd = openSync(path, "r");
      readFileSync(fd);
      closeSync(fd);
      assert.ok(timesOf(path).atime > SECOND);
    },
    "of access stay when an owner reads with O_NOATIME": async (dir) => {
      const path = `${dir}/file`;
      writeFileSync(path, "content");
      await delay(TICK_MS);
      setTimes(path, SECOND, "now");
      const fd = openSync(path, constants.O_RDONLY | constants.O_NOATIME);
      assert.equal(readFileSync(fd, "utf8"), "content");
      closeSync(fd);
      assert.equal(timesOf(path).atime, SECOND);
    },
    "O_NOATIME is for owners": (dir) => {
      writeFileSync(`${dir}/file`, "content");
      fails("EPERM", () => as(BOB, () => openSync(`${dir}/file`, constants.O_NOATIME)));
      closeSync(openSync(`${dir}/file`, constants.O_NOATIME));
    },
    "a write is seen in the times while the file is still open": async (dir) => {
      const path = `${dir}/file`;
      const fd = openSync(path, "wx");
      assert.deepEqual(await changedBy(path, () => writeSync(fd, "content")), CONTENT);
      closeSync(fd);
      assert.equal(statSync(path).size, 7);
    },
  },
};
