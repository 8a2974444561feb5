import { ENTRY_OUT_BYTES, Opcode, OUT_HEADER_BYTES } from "../../fsd/fuse/constants.js";
import { cstring, u32, u64 } from "../../fsd/testing/test-guest.js";
import { errnoName } from "../../lib/sys/errno.js";
import type { PreparedRequest, RequestRing, RequestShape } from "./request-ring.js";

export const ROOT = 1n;

/**
 * What Linux 6.12 offers in FUSE_INIT, less what would let a daemon do without requests that rows measure (NO_OPEN_SUPPORT,
 * NO_OPENDIR_SUPPORT), and less MAP_ALIGNMENT and what changes the layout of requests (SETXATTR_EXT, INIT_EXT).
 */
const OFFERED = 0x0fff_ffff & ~((1 << 17) | (1 << 24) | (1 << 26));

/** Requests that make a row's files known to a daemon, each laid out for itself and given up again. */
export class Guest {
  constructor(private readonly ring: RequestRing) {}

  /** @returns the reply's body. @throws Error for an answer with an errno */
  call(opcode: number, nodeId: bigint, shape: RequestShape): Buffer {
    const mark = this.ring.mark;
    const prepared = this.ring.prepare(opcode, nodeId, shape);
    const error = this.ring.run(prepared);
    this.ring.freeTo(mark);
    if (error < 0) throw new Error(`opcode ${opcode} of node ${nodeId}: ${errnoName(-error)}`);
    return Buffer.from(bodyOf(prepared));
  }

  init(): void {
    const args = Buffer.concat([u32(7, 41, 131072, OFFERED, 0), Buffer.alloc(44)]);
    this.call(Opcode.INIT, 0n, { args, room: 64 });
  }

  /** The node id of a path below the root. */
  walk(path: string): bigint {
    let nodeId = ROOT;
    for (const name of path.split("/")) {
      nodeId = this.call(Opcode.LOOKUP, nodeId, {
        args: cstring(name),
        room: ENTRY_OUT_BYTES,
      }).readBigUInt64LE(0);
    }
    return nodeId;
  }

  open(nodeId: bigint, flags: number): bigint {
    return this.call(Opcode.OPEN, nodeId, { args: u32(flags, 0), room: 16 }).readBigUInt64LE(0);
  }

  release(nodeId: bigint, fh: bigint): void {
    this.call(Opcode.RELEASE, nodeId, { args: Buffer.concat([u64(fh), u32(0, 0), u64(0n)]), room: 0 });
  }
}

function bodyOf({ reply }: PreparedRequest): Uint8Array {
  const length = Math.min(reply.getUint32(0, true), reply.byteLength);
  return new Uint8Array(reply.buffer, reply.byteOffset + OUT_HEADER_BYTES, length - OUT_HEADER_BYTES);
}
