import { Errno } from "../../lib/sys/errno.js";
import type { Settled } from "../passthrough/session.js";
import { FUSE_KERNEL_VERSION, IN_HEADER_BYTES, INIT_OUT_BYTES, OUT_HEADER_BYTES } from "./constants.js";
import { type InitWishes, judgeInit, negotiate, readInit, unmetDemand, writeInit } from "./init.js";
import type { FuseReply } from "./reply.js";
import type { FuseRequest } from "./request.js";

const INIT_IN_BYTES = 16;
const INIT_IN_EXTENDED_BYTES = 64;
/** The reply to a newer major version: the guest reads only the version out of it. */
const COMPAT_INIT_OUT_BYTES = 8;

/** What becomes of a FUSE_INIT. */
export interface Handshake {
  /** Length of the reply's body, or -errno. */
  readonly result: number;
  /** What holds from now on, if a session begins. */
  readonly settled?: Settled;
  readonly level: "info" | "warn" | "error" | "debug";
  /** What an operator should see. */
  readonly message: string;
}

/** Reads FUSE_INIT and builds its reply. */
export function shakeHands(request: FuseRequest, reply: FuseReply, wishes: InitWishes): Handshake {
  if (!request.has(IN_HEADER_BYTES + INIT_IN_BYTES))
    return { result: -Errno.EINVAL, level: "warn", message: "a FUSE_INIT that is too short" };
  const { view } = reply;
  const offer = readInit(
    request.view,
    IN_HEADER_BYTES,
    request.has(IN_HEADER_BYTES + INIT_IN_EXTENDED_BYTES),
  );
  const version = `FUSE ${offer.major}.${offer.minor}`;
  const verdict = judgeInit(offer.major, offer.minor);
  if (verdict === "too-old") {
    const message = `the guest speaks ${version}, too old to serve`;
    return { result: -Errno.EPROTO, level: "warn", message };
  }
  if (verdict === "other-major") {
    view.setUint32(OUT_HEADER_BYTES, FUSE_KERNEL_VERSION, true);
    view.setUint32(OUT_HEADER_BYTES + 4, 0, true);
    return { result: COMPAT_INIT_OUT_BYTES, level: "debug", message: `the guest speaks ${version}` };
  }
  const demand = unmetDemand(offer, wishes);
  if (demand !== undefined) {
    const message = `the guest's kernel does not have what --${demand}=always demands`;
    return { result: -Errno.EPROTO, level: "error", message };
  }
  const settled = negotiate(offer, wishes);
  writeInit(view, OUT_HEADER_BYTES, settled);
  const { major, minor, flags, flags2 } = settled;
  return {
    result: INIT_OUT_BYTES,
    settled: { minor, offeredFlags: offer.flags, flags, flags2 },
    level: "info",
    message: `FUSE ${major}.${minor}, flags 0x${flags.toString(16)}`,
  };
}
