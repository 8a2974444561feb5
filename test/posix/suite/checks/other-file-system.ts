import assert from "node:assert/strict";
import {
  closeSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statfsSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { RENAME_EXCHANGE } from "../../../../lib/sys/file.js";
import { copyRange, rename2 } from "../calls.js";
import { fails, type Group } from "../check.js";

/** The mount point, given a directory of its root, and the directory that holds it. */
const mountOf = (dir: string) => ({ mount: dirname(dir), above: dirname(dirname(dir)) });

/** What is mounted on the host below the shared directory, with the device announcing it. */
export const otherFileSystem: Group = {
  name: "a mount of the host",
  place: "small",
  checks: {
    "is a file system of its own": (dir) => {
      const { mount, above } = mountOf(dir);
      writeFileSync(`${dir}/file`, "content");
      assert.notEqual(statSync(mount).dev, statSync(above).dev);
      assert.equal(statSync(`${dir}/file`).dev, statSync(mount).dev);
      assert.equal(statSync(`${mount}/..`).ino, statSync(above).ino);
      assert.notEqual(statfsSync(mount).blocks, statfsSync(above).blocks);
    },
    "shows the root of what is mounted in the listing of the directory above": (dir) => {
      const { mount, above } = mountOf(dir);
      const names = readdirSync(above, { withFileTypes: true });
      const entry = names.find(({ name }) => mount.endsWith(`/${name}`));
      assert.ok(entry?.isDirectory());
    },
    "is not left by rename and link": (dir) => {
      const { above } = mountOf(dir);
      writeFileSync(`${dir}/file`, "content");
      writeFileSync(`${above}/outside`, "outside");
      try {
        fails("EXDEV", () => renameSync(`${dir}/file`, `${above}/new`));
        fails("EXDEV", () => renameSync(`${above}/outside`, `${dir}/new`));
        fails("EXDEV", () => rename2(`${above}/outside`, `${dir}/file`, RENAME_EXCHANGE));
        fails("EXDEV", () => linkSync(`${dir}/file`, `${above}/new`));
        copyFileSync(`${above}/outside`, `${dir}/copy`);
        assert.equal(readFileSync(`${dir}/copy`, "utf8"), "outside");
      } finally {
        unlinkSync(`${above}/outside`);
      }
    },
    "copy_file_range goes across, or says EXDEV as between two file systems": (dir) => {
      const { above } = mountOf(dir);
      writeFileSync(`${above}/outside`, "outside");
      const [from, to] = [openSync(`${above}/outside`, "r"), openSync(`${dir}/file`, "w+")];
      try {
        assert.equal(copyRange(from, 0, to, 0, 100), 7);
        assert.equal(readFileSync(`${dir}/file`, "utf8"), "outside");
      } catch (error) {
        assert.ok(error instanceof Error && "code" in error && error.code === "EXDEV", String(error));
      } finally {
        closeSync(from);
        closeSync(to);
        unlinkSync(`${above}/outside`);
      }
    },
    "its mount point stays": (dir) => {
      const { mount, above } = mountOf(dir);
      fails("EBUSY", () => rmdirSync(mount));
      fails("EBUSY", () => renameSync(mount, `${above}/moved`));
    },
    "links lead across": (dir) => {
      const { above } = mountOf(dir);
      writeFileSync(`${above}/outside`, "outside");
      try {
        symlinkSync(`${above}/outside`, `${dir}/link`);
        assert.equal(readFileSync(`${dir}/link`, "utf8"), "outside");
        mkdirSync(`${dir}/sub`);
        assert.equal(readFileSync(`${dir}/sub/../../../outside`, "utf8"), "outside");
      } finally {
        unlinkSync(`${above}/outside`);
      }
    },
  },
};
