import assert from "node:assert/strict";
import { once } from "node:events";
import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK } from "../../../../lib/sys/file.js";
import { mknod } from "../calls.js";
import { fails, type Group } from "../check.js";

/** linux/kdev_t.h's encoding of small numbers, as stat(2) shows it. */
const device = (major: number, minor: number) => (major << 8) | minor;

export const specialFiles: Group = {
  name: "special files",
  checks: {
    "nodes of all kinds are what they were made": (dir) => {
      for (const [name, type] of [
        ["fifo", S_IFIFO],
        ["socket", S_IFSOCK],
        ["character", S_IFCHR],
        ["block", S_IFBLK],
      ] as const) {
        const isDevice = type === S_IFCHR || type === S_IFBLK;
        mknod(`${dir}/${name}`, type | 0o640, isDevice ? device(7, 300 & 0xff) : 0);
        const { mode, rdev } = lstatSync(`${dir}/${name}`);
        assert.equal(mode, type | 0o640, name);
        if (isDevice) assert.equal(rdev, device(7, 300 & 0xff));
      }
    },
    "a device node opens the guest's device": (dir) => {
      mknod(`${dir}/zero`, S_IFCHR | 0o600, device(1, 5));
      const fd = openSync(`${dir}/zero`, "r");
      const buffer = Buffer.alloc(4, "x");
      assert.equal(readSync(fd, buffer), 4);
      assert.ok(buffer.equals(Buffer.alloc(4)));
      closeSync(fd);
    },
    "a fifo carries bytes": (dir) => {
      mknod(`${dir}/fifo`, S_IFIFO | 0o600);
      const reader = openSync(`${dir}/fifo`, constants.O_RDONLY | constants.O_NONBLOCK);
      const writer = openSync(`${dir}/fifo`, constants.O_WRONLY);
      writeSync(writer, "through");
      const buffer = Buffer.alloc(7);
      readSync(reader, buffer);
      assert.equal(buffer.toString(), "through");
      closeSync(writer);
      closeSync(reader);
      fails("ENXIO", () => openSync(`${dir}/fifo`, constants.O_WRONLY | constants.O_NONBLOCK));
    },
    "a UNIX socket is bound and connected to": async (dir) => {
      // Node binds and connects with the path as it is: no longer than sun_path.
      const before = process.cwd();
      process.chdir(dir);
      try {
        const server = createServer((socket) => socket.end("hello"));
        await once(server.listen("socket"), "listening");
        assert.ok(statSync("socket").isSocket());
        const client = connect("socket");
        const [data] = await once(client, "data");
        assert.equal(`${data}`, "hello");
        client.destroy();
        await new Promise((resolve) => server.close(resolve));
        mknod("stale", S_IFSOCK | 0o600);
        const [error] = await once(connect("stale"), "error");
        assert.equal(error.code, "ECONNREFUSED");
        unlinkSync("stale");
      } finally {
        process.chdir(before);
      }
    },
  },
};
