import {
  DIRENT_HEADER_BYTES,
  ENTRY_OUT_BYTES,
  OPEN_OUT_BYTES,
  Opcode,
  OUT_HEADER_BYTES,
} from "../../fsd/fuse/constants.js";
import { cstring, u32, u64 } from "../../fsd/testing/test-guest.js";
import { Errno } from "../../lib/sys/errno.js";
import { O_RDWR } from "../../lib/sys/file.js";
import type { Guest } from "./guest.js";
import type { PreparedRequest, RequestRing } from "./request-ring.js";
import { FILE_BYTES, LIST_ENTRIES, pathAt } from "./share.js";

/** A kind of request, or of requests that belong together, at one depth of the tree. */
export interface RowDescription {
  readonly name: string;
  readonly changes: boolean;
  /** What a single copy in memory takes most of. */
  readonly copiesMuch?: boolean;
  /** Makes everything ready. @returns what makes the requests once, and throws if the answer is not the right one */
  prepare(ring: RequestRing, guest: Guest, depth: number): () => void;
}

const LIST_BYTES = 32 * 1024;
const O_EXCL_CREAT = 0o300;
const ATTRIBUTE = "user.kata-fs.bench";
const VALUE_BYTES = 32;

export const ROWS: readonly RowDescription[] = [
  {
    name: "getattr",
    changes: false,
    prepare(ring, guest, depth) {
      const nodeId = guest.walk(pathAt(depth, "file"));
      const request = ring.prepare(Opcode.GETATTR, nodeId, { args: Buffer.alloc(16), room: 104 });
      return () => expect(ring.run(request), 0);
    },
  },
  {
    name: "lookup",
    changes: false,
    prepare(ring, guest, depth) {
      const args = cstring("file");
      const request = ring.prepare(Opcode.LOOKUP, guest.walk(pathAt(depth)), { args, room: ENTRY_OUT_BYTES });
      return () => expect(ring.run(request), 0);
    },
  },
  {
    name: "missing lookup",
    changes: false,
    prepare(ring, guest, depth) {
      const args = cstring("missing");
      const request = ring.prepare(Opcode.LOOKUP, guest.walk(pathAt(depth)), { args, room: ENTRY_OUT_BYTES });
      return () => {
        const error = ring.run(request);
        // An entry of node 0 tells a guest that it may remember the name as missing.
        const isRemembered = error === 0 && request.reply.getBigUint64(OUT_HEADER_BYTES, true) === 0n;
        if (!isRemembered) expect(error, -Errno.ENOENT);
      };
    },
  },
  {
    name: "open+release",
    changes: false,
    prepare(ring, guest, depth) {
      const nodeId = guest.walk(pathAt(depth, "file"));
      const open = ring.prepare(Opcode.OPEN, nodeId, { args: u32(0, 0), room: OPEN_OUT_BYTES });
      const release = ring.prepare(Opcode.RELEASE, nodeId, { args: Buffer.alloc(24), room: 0 });
      return () => {
        expect(ring.run(open), 0);
        copyHandle(open, release);
        expect(ring.run(release), 0);
      };
    },
  },
  {
    name: `readdirplus of ${LIST_ENTRIES.toLocaleString("en")}`,
    changes: false,
    prepare(ring, guest, depth) {
      return prepareListing(ring, guest.walk(pathAt(depth, "list")), LIST_ENTRIES);
    },
  },
  {
    name: "create+unlink",
    changes: true,
    prepare(ring, guest, depth) {
      const parent = guest.walk(pathAt(depth));
      const name = cstring("made");
      const create = ring.prepare(Opcode.CREATE, parent, {
        args: Buffer.concat([u32(O_EXCL_CREAT | O_RDWR, 0o100644, 0o22, 0), name]),
        room: ENTRY_OUT_BYTES + OPEN_OUT_BYTES,
      });
      const release = ring.prepare(Opcode.RELEASE, parent, { args: Buffer.alloc(24), room: 0 });
      const unlink = ring.prepare(Opcode.UNLINK, parent, { args: name, room: 0 });
      const forget = ring.prepare(Opcode.FORGET, parent, { args: u64(1n), room: 0 });
      return () => {
        expect(ring.run(create), 0);
        for (const { request } of [release, forget]) copy64(create.reply, OUT_HEADER_BYTES, request, NODE_ID);
        copy64(create.reply, OUT_HEADER_BYTES + ENTRY_OUT_BYTES, release.request, FH);
        expect(ring.run(release), 0);
        expect(ring.run(unlink), 0);
        ring.run(forget);
      };
    },
  },
  ...[4, 128, 1024].flatMap((kib) => [transfer("read", kib), transfer("write", kib)]),
  {
    name: "setxattr+getxattr",
    changes: true,
    prepare(ring, guest, depth) {
      const nodeId = guest.walk(pathAt(depth, "written"));
      const name = cstring(ATTRIBUTE);
      const set = ring.prepare(Opcode.SETXATTR, nodeId, {
        args: Buffer.concat([u32(VALUE_BYTES, 0), name, Buffer.alloc(VALUE_BYTES, "v")]),
        room: 0,
      });
      const get = ring.prepare(Opcode.GETXATTR, nodeId, {
        args: Buffer.concat([u32(4096, 0), name]),
        room: 4096,
      });
      return () => {
        expect(ring.run(set), 0);
        expect(ring.run(get), 0);
        expect(get.reply.getUint32(0, true), OUT_HEADER_BYTES + VALUE_BYTES);
      };
    },
  },
];

/** Lists a directory of so many entries as a whole, from OPENDIR to RELEASEDIR. */
export function prepareListing(ring: RequestRing, nodeId: bigint, count: number): () => void {
  const opendir = ring.prepare(Opcode.OPENDIR, nodeId, { args: u32(0, 0), room: OPEN_OUT_BYTES });
  const args = Buffer.concat([u64(0n, 0n), u32(LIST_BYTES, 0), u64(0n), u32(0, 0)]);
  const read = ring.prepare(Opcode.READDIRPLUS, nodeId, { args, room: 0, payloadIn: LIST_BYTES });
  const releasedir = ring.prepare(Opcode.RELEASEDIR, nodeId, { args: Buffer.alloc(24), room: 0 });
  const payload = new DataView(read.payload.buffer, read.payload.byteOffset, LIST_BYTES);
  return () => {
    expect(ring.run(opendir), 0);
    copyHandle(opendir, read);
    copyHandle(opendir, releasedir);
    read.request.setBigUint64(OFFSET, 0n, true);
    let entries = 0;
    for (;;) {
      expect(ring.run(read), 0);
      const length = read.reply.getUint32(0, true) - OUT_HEADER_BYTES;
      if (length === 0) break;
      entries += countEntries(payload, length, read.request);
    }
    expect(ring.run(releasedir), 0);
    expect(entries, count + 2);
  };
}

// From the start of a request.
const NODE_ID = 16;
const FH = 40;
const OFFSET = 48;

/** READ or WRITE, one block of a file after the other. */
function transfer(direction: "read" | "write", kib: number): RowDescription {
  const size = kib * 1024;
  const isRead = direction === "read";
  return {
    name: `${direction} ${kib < 1024 ? `${kib} KiB` : "1 MiB"}`,
    changes: !isRead,
    copiesMuch: kib === 1024,
    prepare(ring, guest, depth) {
      const nodeId = guest.walk(pathAt(depth, isRead ? "file" : "written"));
      const fh = guest.open(nodeId, isRead ? 0 : O_RDWR);
      const args = Buffer.concat([u64(fh, 0n), u32(size, 0), u64(0n), u32(0, 0)]);
      const request = isRead
        ? ring.prepare(Opcode.READ, nodeId, { args, room: 0, payloadIn: size })
        : ring.prepare(Opcode.WRITE, nodeId, { args, room: 8, payloadOut: size });
      let offset = 0;
      return () => {
        request.request.setUint32(OFFSET, offset, true);
        expect(ring.run(request), 0);
        const moved = isRead
          ? request.reply.getUint32(0, true) - OUT_HEADER_BYTES
          : request.reply.getUint32(OUT_HEADER_BYTES, true);
        expect(moved, size);
        offset = (offset + size) % FILE_BYTES;
      };
    },
  };
}

/** Walks struct fuse_direntplus as a guest does, and lets the next request go on behind the last one. */
function countEntries(payload: DataView, length: number, request: DataView): number {
  let count = 0;
  for (let at = 0; at < length; count++) {
    const entry = at + ENTRY_OUT_BYTES;
    copy64(payload, entry + 8, request, OFFSET);
    at = (entry + DIRENT_HEADER_BYTES + payload.getUint32(entry + 16, true) + 7) & ~7;
  }
  return count;
}

function copyHandle(opened: PreparedRequest, { request }: PreparedRequest): void {
  copy64(opened.reply, OUT_HEADER_BYTES, request, FH);
}

function copy64(from: DataView, fromOffset: number, to: DataView, toOffset: number): void {
  to.setUint32(toOffset, from.getUint32(fromOffset, true), true);
  to.setUint32(toOffset + 4, from.getUint32(fromOffset + 4, true), true);
}

function expect(found: number, wanted: number): void {
  if (found !== wanted) throw new Error(`the answer is ${found}, not ${wanted}`);
}
