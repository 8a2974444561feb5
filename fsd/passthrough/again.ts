import { Errno } from "../../lib/sys/errno.js";
import { O_EXCL, RENAME_EXCHANGE, RENAME_WHITEOUT } from "../../lib/sys/file.js";
import { ENTRY_OUT_BYTES, IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from "../fuse/constants.js";
import type { FuseReply } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import type { Operation } from "./operation.js";

const ARGUMENTS = IN_HEADER_BYTES;
/** Where the name stands in requests that make one. */
const NAMES: Readonly<Record<number, number>> = {
  [Opcode.MKNOD]: ARGUMENTS + 16,
  [Opcode.MKDIR]: ARGUMENTS + 8,
  [Opcode.SYMLINK]: ARGUMENTS,
  [Opcode.LINK]: ARGUMENTS + 8,
  [Opcode.CREATE]: ARGUMENTS + 16,
};
/** Where the two names begin. */
const RENAME_NAMES: Readonly<Record<number, number>> = {
  [Opcode.RENAME]: ARGUMENTS + 8,
  [Opcode.RENAME2]: ARGUMENTS + 16,
};
const SETXATTR_FLAGS = ARGUMENTS + 4;

/**
 * Serves a request that another worker began and did not answer, and of which nobody knows whether it was done. Most requests come to the
 * same when they are done twice. Of the others it was noted what was there before they were done: they are answered as the first time if what they
 * were to bring about is there, and was not before.
 */
export function serveAgain(
  operation: Operation,
  fs: FileSystem,
  request: FuseRequest,
  reply: FuseReply,
): number {
  if (wasMoved(fs, request)) return 0;
  const result = operation(fs, request, reply);
  switch (result) {
    case -Errno.EEXIST:
      return exists(operation, fs, request, reply) ?? result;
    case -Errno.ENOENT:
      return isGone(fs, request) ? 0 : result;
    case -Errno.ENODATA:
      return request.opcode === Opcode.REMOVEXATTR && fs.undo.wasThere === true ? 0 : result;
    case -Errno.EBADF:
      return request.opcode === Opcode.RELEASE || request.opcode === Opcode.RELEASEDIR ? 0 : result;
    default:
      return result;
  }
}

/** What was to be made is there. @returns the answer if the first attempt made it */
function exists(
  operation: Operation,
  fs: FileSystem,
  request: FuseRequest,
  reply: FuseReply,
): number | undefined {
  if (fs.undo.wasThere !== false) return undefined;
  if (request.opcode === Opcode.SETXATTR) {
    request.view.setUint32(SETXATTR_FLAGS, 0, true);
    return operation(fs, request, reply);
  }
  const nameOffset = NAMES[request.opcode];
  const parent = fs.inodeOf(request);
  if (nameOffset === undefined || request.takeName(nameOffset) < 0) return undefined;
  const parentFd = fs.pathFd(parent);
  if (parentFd < 0 || fs.statx.readName(parentFd, request.address + nameOffset) < 0) return undefined;
  if (request.opcode === Opcode.LINK) {
    const source = fs.inodes.slotOf(request.uint32(ARGUMENTS), request.uint32(ARGUMENTS + 4));
    const isIt =
      fs.statx.inodeLow === fs.inodes.inodeLow(source) && fs.statx.inodeHigh === fs.inodes.inodeHigh(source);
    if (!isIt) return undefined;
  }
  if (request.opcode === Opcode.CREATE) {
    request.view.setUint32(ARGUMENTS, request.uint32(ARGUMENTS) & ~O_EXCL, true);
    return operation(fs, request, reply);
  }
  const slot = fs.lookup(parent, request, nameOffset);
  if (slot < 0) return slot;
  fs.attributes.writeEntry(reply.view, OUT_HEADER_BYTES, parent, slot);
  return ENTRY_OUT_BYTES;
}

/** Whether the first attempt took the name away that is not there. */
function isGone(fs: FileSystem, { opcode }: FuseRequest): boolean {
  return (opcode === Opcode.UNLINK || opcode === Opcode.RMDIR) && fs.undo.wasThere === true;
}

/**
 * Whether the first attempt has moved the name: what had the old one has the new one. A second attempt might move it back, where names are
 * exchanged or a whiteout is left, and would look for the inode by its old name.
 */
function wasMoved(fs: FileSystem, request: FuseRequest): boolean {
  const namesOffset = RENAME_NAMES[request.opcode];
  if (namesOffset === undefined || !request.has(namesOffset)) return false;
  const flags = request.opcode === Opcode.RENAME2 ? request.uint32(ARGUMENTS + 8) : 0;
  if ((flags & (RENAME_EXCHANGE | RENAME_WHITEOUT)) === 0 && hasOldName(fs, request, namesOffset))
    return false;
  if (!readNewName(fs, request, namesOffset)) return false;
  const isThere = fs.undo.wasInode(fs.statx.inodeLow, fs.statx.inodeHigh);
  if (isThere) noteNewName(fs, request);
  return isThere;
}

/** Whether there is something at the old name of a rename. */
function hasOldName(fs: FileSystem, request: FuseRequest, namesOffset: number): boolean {
  const name = request.takeName(namesOffset);
  const fromFd = fs.pathFd(fs.inodeOf(request));
  return name >= 0 && fromFd >= 0 && fs.statx.readName(fromFd, name) === 0;
}

/** Fills `fs.statx` with what has the new name of a rename, whose offset is then that of the name in the request. */
function readNewName(fs: FileSystem, request: FuseRequest, namesOffset: number): boolean {
  const to = fs.inodes.slotOf(request.uint32(ARGUMENTS), request.uint32(ARGUMENTS + 4));
  if (to === 0 || request.takeName(namesOffset) < 0) return false;
  const name = request.takeName(request.nameEnd);
  const toFd = fs.pathFd(to);
  return name >= 0 && toFd >= 0 && fs.statx.readName(toFd, name) === 0;
}

/** The inode is found by its new name from now on. */
function noteNewName(fs: FileSystem, request: FuseRequest): void {
  const to = fs.inodes.slotOf(request.uint32(ARGUMENTS), request.uint32(ARGUMENTS + 4));
  const { nameOffset } = request;
  fs.renamed(fs.willBeRenamed(to, request, nameOffset), to, request, nameOffset);
}
