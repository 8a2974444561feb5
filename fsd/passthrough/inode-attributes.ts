import { S_IFDIR, S_IFREG } from "../../lib/sys/file.js";
import type { Statx } from "../../lib/sys/statx.js";
import { FUSE_ATTR_DAX, FUSE_ATTR_SUBMOUNT, FUSE_SUBMOUNTS } from "../fuse/constants.js";
import {
  ATTR_FLAGS_OFFSET,
  ATTR_OUT_ATTR_OFFSET,
  ENTRY_ATTR_OFFSET,
  type FuseReply,
  type Validity,
  writeAttr,
  writeAttrValidity,
  writeEntry,
} from "../fuse/reply.js";
import type { FileSystem } from "./file-system.js";
import { guestInodeHigh } from "./inode-number.js";

/** Of struct fuse_statx, without what is spare at its end; and the fields that guests know. */
const FUSE_STATX_BYTES = 144;
const STATX_MASK = 0xfff;

/** What the guest is told of an inode that {@link FileSystem.statx} describes, and for how long it may remember it. */
export class InodeAttributes {
  readonly #statx: Statx;

  constructor(private readonly fs: FileSystem) {
    this.#statx = fs.statx;
  }

  /** Writes struct fuse_entry_out for the inode, found in the directory `parent`. */
  writeEntry(view: DataView, offset: number, parent: number, slot: number): void {
    this.#writeEntryHead(view, offset, parent, slot);
    this.#writeAttr(view, offset + ENTRY_ATTR_OFFSET, slot);
    this.#markMount(view, offset, parent, slot);
  }

  /** The same for an inode whose attributes are remembered. @returns false if they are not */
  writeRememberedEntry({ view, bytes }: FuseReply, offset: number, parent: number, slot: number): boolean {
    if (!this.fs.answers.writeAttr(slot, bytes, offset + ENTRY_ATTR_OFFSET)) return false;
    this.#writeEntryHead(view, offset, parent, slot);
    this.#markMount(view, offset, parent, slot);
    return true;
  }

  #writeEntryHead(view: DataView, offset: number, parent: number, slot: number): void {
    const policy = this.fs.policies.of(parent);
    const entryValid = this.#isQuiet(parent) ? policy.quietValid : policy.entryValid;
    writeEntry(view, offset, slot, this.fs.inodes.sequence(slot), entryValid, this.validity(slot));
  }

  /** Writes struct fuse_attr_out for the inode. */
  writeAttrOut(reply: FuseReply, offset: number, slot: number): void {
    writeAttrValidity(reply.view, offset, this.validity(slot));
    this.#writeAttr(reply.view, offset + ATTR_OUT_ATTR_OFFSET, slot);
  }

  /** The same for an inode whose attributes are remembered. @returns false if they are not */
  writeRememberedAttrOut({ view, bytes }: FuseReply, offset: number, slot: number): boolean {
    if (!this.fs.answers.writeAttr(slot, bytes, offset + ATTR_OUT_ATTR_OFFSET)) return false;
    writeAttrValidity(view, offset, this.validity(slot));
    return true;
  }

  /** Writes struct fuse_statx for the inode. */
  writeStatx(reply: FuseReply, offset: number, slot: number): void {
    const statx = this.#statx;
    // Up to here the structure is the host's own.
    statx.copyTo(reply.bytes, offset, FUSE_STATX_BYTES);
    const { view } = reply;
    view.setUint32(offset, view.getUint32(offset, true) & STATX_MASK, true);
    view.setUint32(offset + 20, this.fs.uids.toGuest(statx.uid), true);
    view.setUint32(offset + 24, this.fs.gids.toGuest(statx.gid), true);
    view.setUint32(offset + 36, guestInodeHigh(statx.inodeHigh, this.fs.inodes.device(slot)), true);
  }

  /**
   * How long the guest may remember attributes. Of what is in a directory every change is known while it is followed; files may be changed by
   * other names, and in mapped memory.
   */
  validity(slot: number): Validity {
    const isQuiet = this.fs.inodes.type(slot) === S_IFDIR && this.#isQuiet(slot);
    const policy = this.fs.policies.of(slot);
    return isQuiet ? policy.quietValid : policy.attrValid;
  }

  #isQuiet(directory: number): boolean {
    return this.fs.observer?.isQuiet(directory) === true;
  }

  /** Adds FUSE_ATTR_SUBMOUNT to the entry at `offset` for the root of a mount that the guest is to mount by itself. */
  #markMount(view: DataView, offset: number, parent: number, slot: number): void {
    const { inodes, mounts, session } = this.fs;
    if (inodes.type(slot) !== S_IFDIR || !session.has(FUSE_SUBMOUNTS)) return;
    if (mounts.isSame(inodes.mount(parent), inodes.mount(slot))) return;
    const flags = offset + ENTRY_ATTR_OFFSET + ATTR_FLAGS_OFFSET;
    view.setUint32(flags, view.getUint32(flags, true) | FUSE_ATTR_SUBMOUNT, true);
  }

  #writeAttr(view: DataView, offset: number, slot: number): void {
    const statx = this.#statx;
    const { inodes, policies, uids, gids } = this.fs;
    const high = guestInodeHigh(statx.inodeHigh, inodes.device(slot));
    const isDax =
      statx.type === S_IFREG &&
      statx.sizeBytes >= policies.of(slot).daxThresholdBytes &&
      policies.isReadOnly(slot);
    writeAttr(
      view,
      offset,
      statx,
      statx.inodeLow,
      high,
      uids.toGuest(statx.uid),
      gids.toGuest(statx.gid),
      isDax ? FUSE_ATTR_DAX : 0,
    );
  }
}
