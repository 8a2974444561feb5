/**
 * How the guest's agent lets programs that wait with inotify(7) see what the host changed in a shared directory.
 *
 * virtio-fs has no way to tell the guest's kernel of a change. So the agent makes a system call that would have caused the same event, after
 * it has announced it to kata-fsd: an announced call changes nothing on the host and is answered from what is there now. The
 * announcement is the value of an extended attribute of the device's root directory, set by the thread that makes the call next.
 */

/** The attribute; only processes with CAP_SYS_ADMIN over the guest may set attributes of this name space. It is never stored. */
export const REPLAY_XATTR = "trusted.kata_fs.replay";

/** A name in the device's root directory that a replayed rename comes from or goes to where it has no name in the directory. */
export const REPLAY_NAME = ".kata-fs-replay";

/** What the announcing thread does next, until it announces something else. */
export const ReplayKind = {
  /** Nothing special. */
  none: 0,
  /** Changes of attributes and opening for writing, of any inode. */
  touch: 1,
  /** mknod(2), mkdir(2), symlink(2) of the name, which exists on the host already. */
  create: 2,
  /** unlink(2), rmdir(2) of the name, which is gone on the host. */
  remove: 3,
  /** rename(2) from the old name, gone on the host, to the name; either may be {@link REPLAY_NAME} in the root directory instead. */
  rename: 4,
  /** unlink(2), rmdir(2) of the name, to fail, after which the guest's kernel knows nothing of the name. */
  invalidate: 5,
  /** unlink(2) of {@link REPLAY_NAME}, which is the last name of the inode. */
  gone: 6,
} as const;

export type ReplayKind = (typeof ReplayKind)[keyof typeof ReplayKind];

export interface Replay {
  readonly kind: ReplayKind;
  /** The directory that the names are in, or with `gone` the inode. */
  readonly nodeId: bigint;
  /** S_IFREG and so on, of what was removed. */
  readonly type: number;
  /** "" where a rename leads out of the directory; one character for each byte, as is `oldName`. */
  readonly name: string;
  /** "" unless the name was another one in the same directory. */
  readonly oldName: string;
}

const HEADER_BYTES = 16;
const NAME_MAX = 255;
const KINDS: readonly ReplayKind[] = Object.values(ReplayKind);

/** Four bytes of kind, four of type, eight of node id, little-endian; the names with a NUL behind each. */
export function encodeReplay({ kind, nodeId, type, name, oldName }: Replay): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(kind, 0);
  header.writeUInt32LE(type, 4);
  header.writeBigUInt64LE(nodeId, 8);
  return Buffer.concat([header, Buffer.from(`${name}\0${oldName}\0`, "latin1")]);
}

/** @returns undefined for anything that is no announcement */
export function decodeReplay(bytes: Buffer): Replay | undefined {
  if (bytes.length < HEADER_BYTES + 2) return undefined;
  const kind = KINDS.find((candidate) => candidate === bytes.readUInt32LE(0));
  const [name, oldName, end, ...more] = bytes.toString("latin1", HEADER_BYTES).split("\0");
  if (kind === undefined || name === undefined || oldName === undefined) return undefined;
  if (end !== "" || more.length > 0 || !isName(name) || !isName(oldName)) return undefined;
  return { kind, nodeId: bytes.readBigUInt64LE(8), type: bytes.readUInt32LE(4), name, oldName };
}

function isName(text: string): boolean {
  return text.length <= NAME_MAX && !text.includes("/") && text !== "." && text !== "..";
}
