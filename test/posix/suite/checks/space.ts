import assert from "node:assert/strict";
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { SEEK_DATA, SEEK_HOLE } from "../../../../lib/sys/file.js";
import { mapShared, viewOf } from "../../../../lib/sys/mapping.js";
import { copyRange, fallocate, nameLengthMax, pwrite, seek, truncateTo } from "../calls.js";
import { fails, type Group } from "../check.js";

const KiB = 1 << 10;
const MiB = 1 << 20;
const BLOCK = 4 * KiB;
const GiB = 2 ** 30;

// Modes of fallocate(2).
const KEEP_SIZE = 0x01;
const PUNCH_HOLE = 0x02;
const COLLAPSE_RANGE = 0x08;
const ZERO_RANGE = 0x10;
const INSERT_RANGE = 0x20;

/** Runs `use` on a new file whose blocks are full of the letters given. */
function withBlocks(dir: string, letters: string, use: (fd: number) => void): void {
  const fd = openSync(`${dir}/file`, "wx+");
  try {
    for (const letter of letters) writeSync(fd, letter.repeat(BLOCK));
    use(fd);
  } finally {
    closeSync(fd);
  }
}

/** The first byte of each block; "0" for a zero. */
function blocksOf(fd: number): string {
  const buffer = Buffer.alloc(fstatSync(fd).size);
  assert.equal(readSync(fd, buffer, 0, buffer.length, 0), buffer.length);
  let letters = "";
  for (let at = 0; at < buffer.length; at += BLOCK) letters += String.fromCharCode(buffer[at] || 0x30);
  return letters;
}

export const space: Group = {
  name: "space",
  checks: {
    "a sparse file has holes where nothing was written": (dir) => {
      withBlocks(dir, "", (fd) => {
        writeSync(fd, "data", MiB);
        ftruncateSync(fd, 2 * MiB);
        assert.equal(seek(fd, 0, SEEK_DATA), MiB);
        assert.equal(seek(fd, 0, SEEK_HOLE), 0);
        assert.equal(seek(fd, MiB, SEEK_HOLE), MiB + BLOCK);
        assert.equal(seek(fd, MiB + 2, SEEK_DATA), MiB + 2);
        fails("ENXIO", () => seek(fd, MiB + BLOCK, SEEK_DATA));
        fails("ENXIO", () => seek(fd, 2 * MiB, SEEK_HOLE));
        assert.ok(fstatSync(fd).blocks * 512 < MiB);
      });
    },
    "fallocate makes room, and the file longer": (dir) => {
      withBlocks(dir, "a", (fd) => {
        fallocate(fd, 0, 0, MiB);
        const { size, blocks } = fstatSync(fd);
        assert.equal(size, MiB);
        assert.ok(blocks * 512 >= MiB);
      });
    },
    "fallocate with KEEP_SIZE leaves the length": (dir) => {
      withBlocks(dir, "a", (fd) => {
        fallocate(fd, KEEP_SIZE, 0, MiB);
        const { size, blocks } = fstatSync(fd);
        assert.equal(size, BLOCK);
        assert.ok(blocks * 512 >= MiB);
      });
    },
    "PUNCH_HOLE zeroes and frees": (dir) => {
      withBlocks(dir, "abc", (fd) => {
        fallocate(fd, PUNCH_HOLE | KEEP_SIZE, BLOCK, BLOCK);
        assert.equal(blocksOf(fd), "a0c");
        assert.equal(seek(fd, 0, SEEK_HOLE), BLOCK);
        fails("ENOTSUP", () => fallocate(fd, PUNCH_HOLE, 0, BLOCK));
      });
    },
    "ZERO_RANGE zeroes, and extends unless told not to": (dir) => {
      withBlocks(dir, "abc", (fd) => {
        fallocate(fd, ZERO_RANGE, BLOCK, 4 * BLOCK);
        assert.equal(blocksOf(fd), "a0000");
        fallocate(fd, ZERO_RANGE | KEEP_SIZE, 0, 16 * BLOCK);
        assert.equal(blocksOf(fd), "00000");
      });
    },
    "COLLAPSE_RANGE and INSERT_RANGE move what is behind": (dir) => {
      withBlocks(dir, "abc", (fd) => {
        fallocate(fd, COLLAPSE_RANGE, 0, BLOCK);
        assert.equal(blocksOf(fd), "bc");
        fallocate(fd, INSERT_RANGE, BLOCK, BLOCK);
        assert.equal(blocksOf(fd), "b0c");
      });
    },
    "fallocate refuses what is no range or no regular file": (dir) => {
      withBlocks(dir, "a", (fd) => {
        fails("EINVAL", () => fallocate(fd, 0, -1, 10));
        fails("EINVAL", () => fallocate(fd, 0, 0, 0));
        fails("EFBIG", () => fallocate(fd, 0, 2n ** 63n - 2n, 10));
      });
      const reader = openSync(`${dir}/file`, "r");
      fails("EBADF", () => fallocate(reader, 0, 0, 10));
      closeSync(reader);
    },
    "copy_file_range copies within a file and between files": (dir) => {
      withBlocks(dir, "abc", (fd) => {
        assert.equal(copyRange(fd, 0, fd, 3 * BLOCK, 2 * BLOCK), 2 * BLOCK);
        assert.equal(blocksOf(fd), "abcab");
        fails("EINVAL", () => copyRange(fd, 0, fd, BLOCK, 2 * BLOCK));
        const other = openSync(`${dir}/other`, "wx+");
        let copied = 0;
        while (copied < 5 * BLOCK) {
          const step = copyRange(fd, copied, other, copied, 10 * BLOCK);
          assert.ok(step > 0);
          copied += step;
        }
        assert.equal(copyRange(fd, copied, other, copied, BLOCK), 0);
        assert.equal(blocksOf(other), "abcab");
        closeSync(other);
      });
    },
    "a file reaches past 4 GiB": (dir) => {
      withBlocks(dir, "", (fd) => {
        for (const offset of [2 * GiB - 2, 4 * GiB - 2, 5 * GiB]) {
          assert.equal(writeSync(fd, "edge", offset), 4);
          const buffer = Buffer.alloc(4);
          assert.equal(readSync(fd, buffer, 0, 4, offset), 4);
          assert.equal(buffer.toString(), "edge");
        }
        assert.equal(fstatSync(fd).size, 5 * GiB + 4);
        assert.equal(seek(fd, 4 * GiB + BLOCK, SEEK_DATA), 5 * GiB);
        ftruncateSync(fd, 4 * GiB + 1);
        assert.equal(fstatSync(fd).size, 4 * GiB + 1);
        const buffer = Buffer.alloc(4);
        assert.equal(readSync(fd, buffer, 0, 4, 4 * GiB - 2), 3);
        assert.equal(buffer.toString("latin1", 0, 3), "edg");
      });
    },
    "a file is mapped past 4 GiB": (dir) => {
      withBlocks(dir, "", (fd) => {
        ftruncateSync(fd, 5 * GiB);
        const mapping = mapShared(fd, 4 * GiB, BLOCK);
        const memory = Buffer.from(viewOf(mapping, 0, BLOCK));
        memory.write("by mapping", 100);
        writeSync(fd, "by write", 4 * GiB);
        assert.equal(memory.toString("latin1", 0, 8), "by write");
        mapping.unmap();
        fsyncSync(fd);
        const buffer = Buffer.alloc(10);
        readSync(fd, buffer, 0, 10, 4 * GiB + 100);
        assert.equal(buffer.toString(), "by mapping");
      });
    },
    "no file reaches the end of the offsets": (dir) => {
      withBlocks(dir, "", (fd) => {
        const end = 2n ** 63n;
        fails("EFBIG", () => pwrite(fd, Buffer.from("xy"), end - 4096n));
        fails("EINVAL", () => pwrite(fd, Buffer.from("xy"), end - 1n));
        fails("EINVAL", () => pwrite(fd, Buffer.from("x"), -1n));
        fails("EINVAL", () => truncateTo(fd, -1n));
        assert.equal(fstatSync(fd).size, 0);
      });
    },
    "truncate shortens, extends with zeroes, and forgets what was behind": (dir) => {
      withBlocks(dir, "ab", (fd) => {
        ftruncateSync(fd, 10);
        ftruncateSync(fd, 2 * BLOCK);
        assert.equal(blocksOf(fd), "a0");
        const buffer = Buffer.alloc(20);
        readSync(fd, buffer, 0, 20, 0);
        assert.equal(buffer.toString("latin1"), `${"a".repeat(10)}${"\0".repeat(10)}`);
      });
    },
    "statfs tells of the file system": (dir) => {
      const { bsize, blocks, bavail, files } = statfsSync(dir);
      assert.ok(bsize >= 512 && blocks > 0 && bavail <= blocks && files >= 0);
      const fd = openSync(dir, "r");
      assert.equal(nameLengthMax(fd), 255);
      closeSync(fd);
    },
  },
};
