// @ts-nocheck: what it requires lies elsewhere in the container.
// Runs in a container: waits with inotify(7) on the paths given after the first argument, and appends a line for each event to the file
// that the first one names: bits of the event's mask by name, the path, the name in it, and what two files hold in that moment.
"use strict";
const { appendFileSync, readFileSync } = require("node:fs");
const koffi = require("/kata/node_modules/koffi");

const BITS = {
  MODIFY: 0x2,
  ATTRIB: 0x4,
  CLOSE_WRITE: 0x8,
  MOVED_FROM: 0x40,
  MOVED_TO: 0x80,
  CREATE: 0x100,
  DELETE: 0x200,
  DELETE_SELF: 0x400,
};
const ALL = Object.values(BITS).reduce((all, bit) => all | bit);

const libc = koffi.load("libc.so.6");
const init = libc.func("int inotify_init1(int flags)");
const add = libc.func("int inotify_add_watch(int fd, const char *path, uint32_t mask)");
const read = libc.func("int64_t read(int fd, void *out, size_t length)");

const [, , output, ...paths] = process.argv;
const fd = init(0);
const byWatch = new Map(paths.map((path) => [add(fd, path, ALL), path]));
appendFileSync(output, "waiting\n");

const buffer = Buffer.alloc(65536);
for (;;) {
  const length = Number(read(fd, buffer, buffer.length));
  for (let at = 0; at < length; at += 16 + buffer.readUInt32LE(at + 12)) {
    const mask = buffer.readUInt32LE(at + 4);
    const bits = Object.keys(BITS).filter((name) => (mask & BITS[name]) !== 0);
    if (bits.length === 0) continue;
    const name = buffer
      .toString("utf8", at + 16, at + 16 + buffer.readUInt32LE(at + 12))
      .replace(/\0.*/s, "");
    const path = byWatch.get(buffer.readInt32LE(at));
    appendFileSync(output, `${bits.join("|")} ${path} ${name}: ${content("key")} ${content("plain")}\n`);
  }
}

function content(name) {
  try {
    return readFileSync(`/config/${name}`, "utf8").trim();
  } catch (error) {
    return error.code;
  }
}
