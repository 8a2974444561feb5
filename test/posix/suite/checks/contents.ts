import assert from "node:assert/strict";
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { mapShared, viewOf } from "../../../../lib/sys/mapping.js";
import { fails, type Group } from "../check.js";

const { O_RDWR, O_CREAT, O_DIRECT, O_SYNC, O_DSYNC, O_APPEND } = constants;
const PAGE = 4096;

/** Memory whose address is a multiple of a page, as O_DIRECT wants it: shared mappings are. */
function alignedBuffer(dir: string, bytes: number): Buffer {
  writeFileSync(`${dir}/memory`, Buffer.alloc(bytes));
  const fd = openSync(`${dir}/memory`, "r+");
  const mapping = mapShared(fd, 0, bytes);
  closeSync(fd);
  return Buffer.from(viewOf(mapping, 0, bytes));
}

export const contents: Group = {
  name: "contents",
  checks: {
    "O_DIRECT reads what was written with and without it": (dir) => {
      const buffer = alignedBuffer("/dev/shm", 4 * PAGE);
      writeFileSync(`${dir}/file`, "a".repeat(4 * PAGE));
      const fd = openSync(`${dir}/file`, O_RDWR | O_DIRECT);
      assert.equal(readSync(fd, buffer, 0, 4 * PAGE, 0), 4 * PAGE);
      assert.equal(buffer.toString(), "a".repeat(4 * PAGE));
      buffer.fill("b");
      assert.equal(writeSync(fd, buffer, 0, 2 * PAGE, PAGE), 2 * PAGE);
      closeSync(fd);
      const expected = "a".repeat(PAGE) + "b".repeat(2 * PAGE) + "a".repeat(PAGE);
      assert.ok(readFileSync(`${dir}/file`, "utf8") === expected);
    },
    "O_DIRECT at the end of a file reads what there is": (dir) => {
      const buffer = alignedBuffer("/dev/shm", 2 * PAGE);
      writeFileSync(`${dir}/file`, "a".repeat(PAGE + 100));
      const fd = openSync(`${dir}/file`, O_RDWR | O_DIRECT);
      assert.equal(readSync(fd, buffer, 0, 2 * PAGE, 0), PAGE + 100);
      assert.equal(readSync(fd, buffer, 0, PAGE, 2 * PAGE), 0);
      closeSync(fd);
    },
    "O_SYNC and O_DSYNC write; fsync and fdatasync succeed on files and directories": (dir) => {
      for (const flag of [O_SYNC, O_DSYNC]) {
        const fd = openSync(`${dir}/file${flag}`, O_RDWR | O_CREAT | flag, 0o600);
        assert.equal(writeSync(fd, "content"), 7);
        closeSync(fd);
        assert.equal(readFileSync(`${dir}/file${flag}`, "utf8"), "content");
      }
      for (const path of [dir, `${dir}/file${O_SYNC}`]) {
        const fd = openSync(path, "r");
        fsyncSync(fd);
        fdatasyncSync(fd);
        closeSync(fd);
      }
    },
    "O_APPEND writes at the end, whoever made it longer": (dir) => {
      const one = openSync(`${dir}/file`, O_RDWR | O_CREAT | O_APPEND, 0o600);
      const other = openSync(`${dir}/file`, O_RDWR | O_APPEND);
      writeSync(one, "1");
      writeSync(other, "2");
      writeSync(one, "3");
      closeSync(other);
      closeSync(one);
      assert.equal(readFileSync(`${dir}/file`, "utf8"), "123");
    },
    "what one descriptor wrote another one reads at once": (dir) => {
      const writer = openSync(`${dir}/file`, "wx");
      const reader = openSync(`${dir}/file`, "r");
      const buffer = Buffer.alloc(10);
      for (const [index, letter] of [..."abc"].entries()) {
        writeSync(writer, letter);
        assert.equal(fstatSync(reader).size, index + 1);
        assert.equal(readSync(reader, buffer, 0, 10, index), 1);
        assert.equal(buffer.toString("latin1", 0, 1), letter);
      }
      closeSync(reader);
      closeSync(writer);
    },
    "a shared mapping and read and write see each other": (dir) => {
      writeFileSync(`${dir}/file`, Buffer.alloc(2 * PAGE, "a"));
      const fd = openSync(`${dir}/file`, "r+");
      const mapping = mapShared(fd, 0, 2 * PAGE);
      const memory = Buffer.from(viewOf(mapping, 0, 2 * PAGE));
      assert.equal(memory.toString("latin1", 0, 3), "aaa");
      memory.write("by mapping", PAGE);
      const buffer = Buffer.alloc(10);
      readSync(fd, buffer, 0, 10, PAGE);
      assert.equal(buffer.toString(), "by mapping");
      writeSync(fd, "by write", 0);
      assert.equal(memory.toString("latin1", 0, 8), "by write");
      mapping.unmap();
      fsyncSync(fd);
      closeSync(fd);
      assert.equal(readFileSync(`${dir}/file`, "utf8").slice(PAGE, PAGE + 10), "by mapping");
    },
    "a mapping outlives descriptor and name": (dir) => {
      writeFileSync(`${dir}/file`, "content");
      const fd = openSync(`${dir}/file`, "r+");
      const mapping = mapShared(fd, 0, PAGE);
      closeSync(fd);
      const memory = Buffer.from(viewOf(mapping, 0, PAGE));
      memory.write("CONTENT");
      assert.equal(memory.toString("latin1", 0, 7), "CONTENT");
      mapping.unmap();
    },
    "a directory is neither read nor opened for writing": (dir) => {
      fails("EISDIR", () => openSync(dir, "r+"));
      fails("EISDIR", () => openSync(dir, "w"));
      const fd = openSync(dir, "r");
      fails("EISDIR", () => readSync(fd, Buffer.alloc(1)));
      closeSync(fd);
    },
    "large writes and reads arrive whole": (dir) => {
      const data = Buffer.alloc(3 * 2 ** 20 + 12345, "0123456789abcdef");
      writeFileSync(`${dir}/file`, data);
      assert.ok(readFileSync(`${dir}/file`).equals(data));
    },
  },
};
