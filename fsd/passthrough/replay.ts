import { Errno } from "../../lib/sys/errno.js";
import { O_RDONLY, S_IFDIR, S_IFREG } from "../../lib/sys/file.js";
import { decodeReplay, REPLAY_NAME, REPLAY_XATTR, type Replay, ReplayKind } from "../../proto/replay.js";
import {
  ATTR_OUT_BYTES,
  ENTRY_OUT_BYTES,
  IN_HEADER_BYTES,
  OPEN_OUT_BYTES,
  Opcode,
  OUT_HEADER_BYTES,
} from "../fuse/constants.js";
import { ENTRY_ATTR_OFFSET, type FuseReply, writeEntry } from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";
import { HandleKind } from "./handle-table.js";
import { ROOT_SLOT } from "./inode-table.js";
import { NameBuffer } from "./name-buffer.js";
import { writeHandle } from "./open.js";

const ARGUMENTS = IN_HEADER_BYTES;
const NOTHING = { seconds: 0, nanoseconds: 0 };
/** Low half of the node ids of what is gone: no slot has this number. */
const PHANTOM_SLOT = 0xffff_ffff;
/** Nobody: thread ids are positive. */
const NO_THREAD = 0;

/** Offsets of the name in requests of {@link ReplayKind.create}. */
const CREATE_NAMES: Readonly<Record<number, number>> = {
  [Opcode.MKNOD]: ARGUMENTS + 16,
  [Opcode.MKDIR]: ARGUMENTS + 8,
  [Opcode.SYMLINK]: ARGUMENTS,
};

/** What a thread that has announced a replay may not do meanwhile, except as announced. */
const CHANGING: ReadonlySet<number> = new Set([
  Opcode.SETATTR,
  Opcode.SYMLINK,
  Opcode.MKNOD,
  Opcode.MKDIR,
  Opcode.UNLINK,
  Opcode.RMDIR,
  Opcode.RENAME,
  Opcode.RENAME2,
  Opcode.LINK,
  Opcode.OPEN,
  Opcode.CREATE,
  Opcode.TMPFILE,
  Opcode.WRITE,
  Opcode.SETXATTR,
  Opcode.REMOVEXATTR,
  Opcode.FALLOCATE,
  Opcode.COPY_FILE_RANGE,
  Opcode.COPY_FILE_RANGE_64,
  Opcode.IOCTL,
]);

/**
 * Answers the system calls by which the guest's agent replays what the host has changed: see proto/replay.ts.
 *
 * As long as a thread has announced one, nothing that it asks for changes anything on the host, whether it is what was announced or not. So a guest
 * gains nothing from announcing what has not happened: it is its own kernel that believes it.
 */
export class ReplayDesk {
  readonly #names = new NameBuffer();
  #thread = NO_THREAD;
  #replay: Replay | undefined;
  #phantoms = 0;

  /** @returns what {@link Operation} returns, or undefined for a request that is served as usual */
  answer(fs: FileSystem, request: FuseRequest, reply: FuseReply): number | undefined {
    const { opcode } = request;
    if (opcode === Opcode.SETXATTR && this.#isAnnouncement(request)) return this.#announce(request);
    if (request.pid !== this.#thread || this.#replay === undefined) return undefined;
    if (opcode === Opcode.LOOKUP) return this.#lookup(fs, request, reply, this.#replay);
    if (!CHANGING.has(opcode)) return undefined;
    return this.#change(fs, request, reply, this.#replay) ?? -Errno.EPERM;
  }

  /** Forgets what was announced: the session has ended. */
  reset(): void {
    this.#thread = NO_THREAD;
    this.#replay = undefined;
  }

  #isAnnouncement(request: FuseRequest): boolean {
    if (request.nodeIdLow !== ROOT_SLOT || request.nodeIdHigh !== 0) return false;
    return request.takeString(this.#xattrOffset(request)) >= 0 && nameOf(request) === REPLAY_XATTR;
  }

  /** The name stands behind struct fuse_setxattr_in, which is longer for guests with FUSE_SETXATTR_EXT. */
  #xattrOffset(request: FuseRequest): number {
    const short = ARGUMENTS + 8;
    return request.bytes[short] === 0 ? short + 8 : short;
  }

  #announce(request: FuseRequest): number {
    const size = request.uint32(ARGUMENTS);
    const start = request.nameEnd;
    if (!request.has(start + size)) return -Errno.EINVAL;
    const replay = decodeReplay(Buffer.from(request.bytes.buffer, start, size));
    if (replay === undefined) return -Errno.EINVAL;
    this.#replay = replay.kind === ReplayKind.none ? undefined : replay;
    this.#thread = this.#replay === undefined ? NO_THREAD : request.pid;
    return 0;
  }

  #lookup(fs: FileSystem, request: FuseRequest, reply: FuseReply, replay: Replay): number | undefined {
    const parent = fs.inodeOf(request);
    if (parent === 0 || request.takeName(ARGUMENTS) < 0) return undefined;
    const name = nameOf(request);
    if (parent === ROOT_SLOT && name === REPLAY_NAME) {
      if (replay.kind === ReplayKind.gone) return this.#answerGone(fs, reply, replay);
      if (replay.kind !== ReplayKind.rename || replay.oldName !== "") return -Errno.ENOENT;
      return this.#answerMoved(fs, reply, replay);
    }
    if (parent !== directoryOf(fs, replay)) return undefined;
    switch (replay.kind) {
      case ReplayKind.create:
      case ReplayKind.invalidate:
        return name === replay.name ? -Errno.ENOENT : undefined;
      case ReplayKind.remove:
        return name === replay.name ? this.#answerPhantom(reply, replay) : undefined;
      case ReplayKind.rename:
        if (name === replay.oldName) return this.#answerMoved(fs, reply, replay);
        return name === replay.name ? -Errno.ENOENT : undefined;
      default:
        return undefined;
    }
  }

  /** @returns undefined for what was not announced */
  #change(fs: FileSystem, request: FuseRequest, reply: FuseReply, replay: Replay): number | undefined {
    const { opcode } = request;
    const parent = fs.inodeOf(request);
    if (parent === 0) return -Errno.ESTALE;
    switch (replay.kind) {
      case ReplayKind.touch:
        return touch(fs, request, reply, parent);
      case ReplayKind.create: {
        const offset = CREATE_NAMES[opcode];
        if (offset === undefined || !this.#isNamed(fs, request, replay, offset)) return undefined;
        const slot = fs.lookup(parent, request, request.nameOffset);
        if (slot < 0) return slot;
        fs.attributes.writeEntry(reply.view, OUT_HEADER_BYTES, parent, slot);
        return ENTRY_OUT_BYTES;
      }
      case ReplayKind.remove:
        return isRemoval(opcode) && this.#isNamed(fs, request, replay, ARGUMENTS) ? 0 : undefined;
      case ReplayKind.invalidate:
        return isRemoval(opcode) && this.#isNamed(fs, request, replay, ARGUMENTS) ? -Errno.ENOENT : undefined;
      case ReplayKind.gone:
        return opcode === Opcode.UNLINK && parent === ROOT_SLOT ? 0 : undefined;
      case ReplayKind.rename:
        return opcode === Opcode.RENAME || opcode === Opcode.RENAME2 ? 0 : undefined;
      default:
        return undefined;
    }
  }

  #isNamed(fs: FileSystem, request: FuseRequest, replay: Replay, offset: number): boolean {
    const isThere = fs.inodeOf(request) === directoryOf(fs, replay) && request.takeName(offset) >= 0;
    return isThere && nameOf(request) === replay.name;
  }

  /** The entry of what has been renamed, by the name that it has now; of nothing, if that is in another directory. */
  #answerMoved(fs: FileSystem, reply: FuseReply, replay: Replay): number {
    if (replay.name === "") return this.#answerPhantom(reply, replay);
    const directory = directoryOf(fs, replay);
    if (directory === 0) return -Errno.ESTALE;
    const slot = fs.lookup(directory, this.#names.put(replay.name), 0);
    return slot < 0 ? slot : this.#answerOnce(fs, reply, slot);
  }

  /** The entry of an inode that has lost its last name; EEXIST for one that has not. */
  #answerGone(fs: FileSystem, reply: FuseReply, replay: Replay): number {
    const slot = directoryOf(fs, replay);
    if (slot === 0) return -Errno.ESTALE;
    const result = fs.stat(slot);
    // What has no descriptor here cannot even be looked at once it is gone.
    if (result < 0 && result !== -Errno.ESTALE) return result;
    if (result === 0 && fs.statx.linkCount > 0) return -Errno.EEXIST;
    fs.inodes.setLookups(slot, fs.inodes.lookups(slot) + 1);
    return writeEmpty(reply, slot, fs.inodes.sequence(slot), fs.inodes.type(slot), 0);
  }

  /** Answers an entry that is not to be used a second time. */
  #answerOnce(fs: FileSystem, reply: FuseReply, slot: number): number {
    fs.attributes.writeEntry(reply.view, OUT_HEADER_BYTES, ROOT_SLOT, slot);
    reply.view.setUint32(OUT_HEADER_BYTES + 16, 0, true);
    reply.view.setUint32(OUT_HEADER_BYTES + 32, 0, true);
    return ENTRY_OUT_BYTES;
  }

  /** The entry of something that nobody knows any more, an empty file or directory. */
  #answerPhantom(reply: FuseReply, { type }: Replay): number {
    this.#phantoms = (this.#phantoms + 1) % PHANTOM_SLOT;
    return writeEmpty(reply, PHANTOM_SLOT, this.#phantoms, type === S_IFDIR ? S_IFDIR : S_IFREG, 1);
  }
}

/** Writes an entry that is not to be used a second time, of something without content, owner or rights. */
function writeEmpty(
  reply: FuseReply,
  nodeIdLow: number,
  nodeIdHigh: number,
  type: number,
  links: number,
): number {
  const { view, bytes } = reply;
  bytes.fill(0, OUT_HEADER_BYTES, OUT_HEADER_BYTES + ENTRY_OUT_BYTES);
  writeEntry(view, OUT_HEADER_BYTES, nodeIdLow, nodeIdHigh, NOTHING, NOTHING);
  const attr = OUT_HEADER_BYTES + ENTRY_ATTR_OFFSET;
  view.setUint32(attr, nodeIdHigh, true);
  view.setUint32(attr + 4, nodeIdLow, true);
  view.setUint32(attr + 60, type, true);
  view.setUint32(attr + 64, links, true);
  return ENTRY_OUT_BYTES;
}

/** The slot that the announcement names, or 0. */
function directoryOf(fs: FileSystem, { nodeId }: Replay): number {
  return fs.inodes.slotOf(Number(nodeId & 0xffff_ffffn), Number(nodeId >> 32n));
}

/** Answers SETATTR with the attributes that there are, and OPEN with a handle that can only be closed and read from. */
function touch(fs: FileSystem, request: FuseRequest, reply: FuseReply, slot: number): number | undefined {
  if (request.opcode === Opcode.SETATTR) {
    const result = fs.stat(slot);
    if (result < 0) return result;
    fs.attributes.writeAttrOut(reply, OUT_HEADER_BYTES, slot);
    return ATTR_OUT_BYTES;
  }
  if (request.opcode !== Opcode.OPEN || fs.inodes.type(slot) !== S_IFREG) return undefined;
  const fd = fs.open(slot, O_RDONLY);
  if (fd < 0) return fd;
  const result = writeHandle(fs, reply, OUT_HEADER_BYTES, fd, slot, HandleKind.file, O_RDONLY, 0);
  return result < 0 ? result : OPEN_OUT_BYTES;
}

function isRemoval(opcode: number): boolean {
  return opcode === Opcode.UNLINK || opcode === Opcode.RMDIR;
}

/** The string that was taken last. */
function nameOf({ bytes, nameOffset, nameEnd }: FuseRequest): string {
  return Buffer.from(bytes.buffer).toString("latin1", nameOffset, nameEnd - 1);
}
