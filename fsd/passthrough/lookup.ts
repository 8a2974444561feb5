import { Errno } from "../../lib/sys/errno.js";
import { S_IFDIR } from "../../lib/sys/file.js";
import {
  ATTR_OUT_BYTES,
  ENTRY_OUT_BYTES,
  FORGET_ONE_BYTES,
  IN_HEADER_BYTES,
  OUT_HEADER_BYTES,
} from "../fuse/constants.js";
import { ATTR_OUT_ATTR_OFFSET, ENTRY_ATTR_OFFSET, type FuseReply, writeEntry } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import type { Operation } from "./operation.js";
import { NOT_REMEMBERED } from "./remembered-answers.js";

const ARGUMENTS = IN_HEADER_BYTES;
/** Node id 0 in a reply: there is no such name, and the guest may remember it. */
const NEGATIVE_NODE_ID = 0;

export const lookup: Operation = (fs, request, reply) => {
  const parent = fs.inodeOf(request);
  if (parent === 0) return -Errno.ESTALE;
  if (fs.inodes.type(parent) !== S_IFDIR) return -Errno.ENOTDIR;
  const name = request.takeName(ARGUMENTS);
  if (name < 0) return name;
  const known = fs.answers.childOf(parent, request);
  if (known === 0) return answerMissing(fs, reply, parent);
  if (
    known !== NOT_REMEMBERED &&
    fs.attributes.writeRememberedEntry(reply, OUT_HEADER_BYTES, parent, known)
  ) {
    fs.inodes.setLookups(known, fs.inodes.lookups(known) + 1);
    return ENTRY_OUT_BYTES;
  }
  const slot = fs.lookup(parent, request, request.nameOffset);
  if (slot < 0) {
    if (slot !== -Errno.ENOENT) return slot;
    fs.answers.noteName(parent, request, 0);
    return answerMissing(fs, reply, parent);
  }
  fs.attributes.writeEntry(reply.view, OUT_HEADER_BYTES, parent, slot);
  fs.answers.noteName(parent, request, slot);
  fs.answers.noteAttr(slot, reply.bytes, OUT_HEADER_BYTES + ENTRY_ATTR_OFFSET);
  return ENTRY_OUT_BYTES;
};

/** Answers that there is no such name in the directory, which the guest may remember where the export has it so. */
function answerMissing(fs: FileSystem, reply: FuseReply, parent: number): number {
  const { negativeValid } = fs.policies.of(parent);
  if (negativeValid.seconds === 0 && negativeValid.nanoseconds === 0) return -Errno.ENOENT;
  reply.bytes.fill(0, OUT_HEADER_BYTES, OUT_HEADER_BYTES + ENTRY_OUT_BYTES);
  writeEntry(reply.view, OUT_HEADER_BYTES, NEGATIVE_NODE_ID, 0, negativeValid, negativeValid);
  return ENTRY_OUT_BYTES;
}

export const getattr: Operation = (fs, request, reply) => {
  const slot = fs.inodeOf(request);
  if (slot === 0) return -Errno.ESTALE;
  if (fs.attributes.writeRememberedAttrOut(reply, OUT_HEADER_BYTES, slot)) return ATTR_OUT_BYTES;
  const result = fs.stat(slot);
  if (result < 0) return result;
  fs.attributes.writeAttrOut(reply, OUT_HEADER_BYTES, slot);
  fs.answers.noteAttr(slot, reply.bytes, OUT_HEADER_BYTES + ATTR_OUT_ATTR_OFFSET);
  return ATTR_OUT_BYTES;
};

/** FORGET has no reply. */
export function forget(fs: FileSystem, request: FuseRequest): void {
  if (request.has(ARGUMENTS + 8)) fs.forget(fs.inodeOf(request), request.uint64(ARGUMENTS));
}

/** BATCH_FORGET has no reply. */
export function batchForget(fs: FileSystem, request: FuseRequest): void {
  if (!request.has(ARGUMENTS + 8)) return;
  const list = ARGUMENTS + 8;
  const count = Math.min(request.uint32(ARGUMENTS), Math.floor((request.length - list) / FORGET_ONE_BYTES));
  for (let index = 0; index < count; index++) {
    const one = list + index * FORGET_ONE_BYTES;
    fs.forget(fs.inodes.slotOf(request.uint32(one), request.uint32(one + 4)), request.uint64(one + 8));
  }
}
