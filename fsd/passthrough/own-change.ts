import { IN_HEADER_BYTES, Opcode } from "../fuse/constants.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FileSystem } from "./file-system.js";

/** Where changes that the guest has asked for are noted. */
export interface ChangeJournal {
  name(directory: number, name: string): void;
  inode(slot: number): void;
}

const ARGUMENTS = IN_HEADER_BYTES;

/** Where the name stands in requests that change an entry of the directory in the header. */
const NAME_OFFSETS: Readonly<Record<number, number>> = {
  [Opcode.MKNOD]: ARGUMENTS + 16,
  [Opcode.MKDIR]: ARGUMENTS + 8,
  [Opcode.SYMLINK]: ARGUMENTS,
  [Opcode.LINK]: ARGUMENTS + 8,
  [Opcode.CREATE]: ARGUMENTS + 16,
  [Opcode.UNLINK]: ARGUMENTS,
  [Opcode.RMDIR]: ARGUMENTS,
  [Opcode.RENAME]: ARGUMENTS + 8,
  [Opcode.RENAME2]: ARGUMENTS + 16,
};

/** Requests that change, or close after changes, the inode in the header. Reading changes times, but inotify does not tell. */
const OF_INODE: ReadonlySet<number> = new Set([
  Opcode.SETATTR,
  Opcode.OPEN,
  Opcode.CREATE,
  Opcode.WRITE,
  Opcode.RELEASE,
  Opcode.SETXATTR,
  Opcode.REMOVEXATTR,
  Opcode.FALLOCATE,
  Opcode.IOCTL,
]);
const COPIES: ReadonlySet<number> = new Set([Opcode.COPY_FILE_RANGE, Opcode.COPY_FILE_RANGE_64]);

/** The inode that a request changes, if it is on a shared export; 0 for one that changes names, or nothing. */
export function changedInode(fs: FileSystem, request: FuseRequest): number {
  const { opcode } = request;
  const isCopy = COPIES.has(opcode);
  if (!isCopy && !OF_INODE.has(opcode)) return 0;
  const slot = fs.inodeOf(request);
  if (slot === 0 || !fs.policies.of(slot).isShared) return 0;
  // struct fuse_copy_file_range_in: the node that is written to.
  return isCopy ? fs.inodes.slotOf(request.uint32(ARGUMENTS + 16), request.uint32(ARGUMENTS + 20)) : slot;
}

/** Notes what a request has changed that was served. */
export function noteOwnChange(fs: FileSystem, request: FuseRequest, journal: ChangeJournal): void {
  const { opcode } = request;
  const nameOffset = NAME_OFFSETS[opcode];
  if (nameOffset === undefined) {
    const changed = changedInode(fs, request);
    if (changed !== 0) journal.inode(changed);
    return;
  }
  const slot = fs.inodeOf(request);
  if (slot === 0 || !fs.policies.of(slot).isShared) return;
  journal.name(slot, stringAt(request, nameOffset));
  if (opcode === Opcode.LINK) {
    journal.inode(fs.inodes.slotOf(request.uint32(ARGUMENTS), request.uint32(ARGUMENTS + 4)));
  }
  if (opcode === Opcode.RENAME || opcode === Opcode.RENAME2) {
    const to = fs.inodes.slotOf(request.uint32(ARGUMENTS), request.uint32(ARGUMENTS + 4));
    journal.name(to, stringAt(request, request.bytes.indexOf(0, nameOffset) + 1));
  }
}

/** The string at `offset` of a request whose strings were checked when it was served. */
function stringAt({ bytes }: FuseRequest, offset: number): string {
  return Buffer.from(bytes.buffer).toString("latin1", offset, bytes.indexOf(0, offset));
}
