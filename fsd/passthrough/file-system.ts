import { openSync } from "node:fs";
import { ThreadCredentials } from "../../lib/sys/credentials.js";
import { SysError } from "../../lib/sys/errno.js";
import {
  close,
  O_CLOEXEC,
  O_DIRECT,
  O_DIRECTORY,
  O_NOATIME,
  O_PATH,
  S_IFDIR,
  S_IFREG,
} from "../../lib/sys/file.js";
import { Iovecs } from "../../lib/sys/iovec.js";
import { lastErrno } from "../../lib/sys/libc.js";
import { descriptorLimit } from "../../lib/sys/resource-limit.js";
import { Statx } from "../../lib/sys/statx.js";
import type { ShmemWindow } from "../../lib/vhost-user/shmem.js";
import { DaxWindow } from "../dax/dax-window.js";
import {
  DAX_RANGE_BYTES,
  FUSE_ATTR_DAX,
  FUSE_ATTR_SUBMOUNT,
  FUSE_HANDLE_KILLPRIV_V2,
  FUSE_SUBMOUNTS,
  FUSE_WRITEBACK_CACHE,
} from "../fuse/constants.js";
import {
  ATTR_OUT_ATTR_OFFSET,
  ENTRY_ATTR_OFFSET,
  type FuseReply,
  type Validity,
  writeAttr,
  writeAttrValidity,
  writeEntry,
} from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FsdMetrics } from "../metrics.js";
import { createFsdState, type FsdState, SESSION } from "../state.js";
import type { ExportPolicy } from "./export-policy.js";
import { ExportTree, ROOT_ZONE } from "./export-tree.js";
import { HandleTable } from "./handle-table.js";
import type { IdMap } from "./id-map.js";
import type { NameSource } from "./inode-locators.js";
import { guestInodeHigh } from "./inode-number.js";
import { InodeStore } from "./inode-store.js";
import { InodeFlag, type InodeTable, ROOT_SLOT } from "./inode-table.js";
import { LockTable } from "./lock-table.js";
import { LockWaiters } from "./lock-waiters.js";
import type { MarkBroker } from "./mark-broker.js";
import { MountFlag, type MountTable } from "./mount-table.js";
import { OverlayMarks } from "./overlay-marks.js";
import { ProcPath } from "./proc-path.js";
import { ReadDescriptors } from "./read-descriptors.js";
import type { SharePolicy } from "./share-policy.js";
import { XattrNames, xattrMaps } from "./xattr-names.js";

export interface FileSystemOptions extends SharePolicy {
  readonly root: string | number;
  readonly window: ShmemWindow | null;
  readonly metrics: FsdMetrics;
  /** Where there is one, host and guest have the directories of overlay exports in common. */
  readonly markBroker?: MarkBroker | null;
}

/** Is told which inodes the guest knows. */
export interface InodeObserver {
  /** `parent` is the directory in which it was found. It may be told again of what it knows. */
  entered(slot: number, parent: number): void;
  left(slot: number): void;
  /** All have left. */
  cleared(): void;
  /**
   * Whether the guest may remember longer than usual what is in the directory, because a change would be taken back; asked when an answer is
   * given that says so.
   */
  isQuiet(directory: number): boolean;
}

/** Descriptors that the process needs for itself: sockets, guest memory, eventfds. */
const RESERVED_DESCRIPTORS = 1024;
/** At a hundred bytes each; the guest's kernel needs ten times that for an inode that it knows. */
const INODES_MAX = 1 << 22;
/** Descriptors of inodes that are open because they were used of late. */
const OPEN_INODES_MAX = 1024;
const OPEN_INODES_MIN = 16;
/** Inodes that keep a descriptor: deleted ones that the guest still knows, and those on file systems without file handles. */
const KEPT_INODES_MAX = 1 << 18;
const HANDLES_MAX = 1 << 16;
const MOUNTS_MAX = 4096;
const DEVICES_MAX = 4096;
/** Each has a descriptor. */
const LOCK_OWNERS_MAX = 1024;
/** Fewer than a virtqueue has descriptors: the request that gives a lock back needs one, too. */
const WAITERS_MAX = 64;
/** Of struct fuse_statx, without what is spare at its end; and the fields that guests know. */
const FUSE_STATX_BYTES = 144;
const STATX_MASK = 0xfff;

/**
 * A directory tree of the host as the guest sees it: the tables of what the guest holds, and the steps that many operations
 * share. Operations are functions beside it, one file for each concern.
 *
 * The guest may be hostile. Every object is reached by the descriptor of its parent and one name, symbolic links never
 * followed, and every later use goes through the object's own descriptor.
 */
export class FileSystem {
  readonly state: FsdState;
  readonly inodes: InodeTable;
  readonly handles: HandleTable;
  readonly locks: LockTable;
  readonly waiters: LockWaiters;
  readonly mounts: MountTable;
  readonly exports: ExportTree;
  readonly dax: DaxWindow | null;
  readonly credentials = ThreadCredentials.ofThisThread();
  readonly procPath: ProcPath;
  readonly readDescriptors: ReadDescriptors;
  readonly xattrNames: XattrNames;
  /** Null where the guest's attributes are the host's own, as the device's rules have them. */
  readonly overlayMarks: OverlayMarks | null;
  readonly metrics: FsdMetrics;
  readonly uids: IdMap;
  readonly gids: IdMap;
  /** The umask that the process has for the moment: see caller.ts. */
  creationMask = 0;
  /** What the last look-up or {@link stat} found. */
  readonly statx = new Statx();
  readonly iovecs = new Iovecs();
  observer: InodeObserver | null = null;

  /** Flags of open(2) that options let pass to the host. */
  readonly openFlagsPassed: number;

  readonly #store: InodeStore;
  readonly #isStatic: boolean;
  readonly #mapsEverything: boolean;

  /** @throws Error of node:fs if the root cannot be opened */
  constructor(options: FileSystemOptions) {
    const descriptors = Math.max(256, descriptorLimit().soft - RESERVED_DESCRIPTORS);
    this.state = createFsdState({
      // Two devices in a process share its descriptors: neither may take more than half.
      inodes: INODES_MAX,
      openInodes: Math.max(OPEN_INODES_MIN, Math.min(OPEN_INODES_MAX, Math.floor(descriptors * 0.05))),
      handles: Math.min(HANDLES_MAX, Math.floor(descriptors * 0.15)),
      mounts: MOUNTS_MAX,
      devices: DEVICES_MAX,
      lockOwners: Math.min(LOCK_OWNERS_MAX, Math.floor(descriptors * 0.04)),
      waiters: WAITERS_MAX,
      daxRanges: options.window === null ? 0 : Math.floor(options.window.lengthBytes / DAX_RANGE_BYTES),
    });
    this.handles = new HandleTable(this.state);
    this.locks = new LockTable(this.state);
    this.waiters = new LockWaiters(this.state);
    this.metrics = options.metrics;
    this.openFlagsPassed = (options.allowDirectIo ? O_DIRECT : 0) | (options.preserveNoatime ? O_NOATIME : 0);
    this.uids = options.uids;
    this.gids = options.gids;
    this.procPath = new ProcPath();
    this.#store = new InodeStore(
      this.state,
      this.handles,
      this.statx,
      this.procPath,
      options.metrics,
      options.inodeFileHandles,
      Math.min(KEPT_INODES_MAX, Math.floor(descriptors * 0.25)),
    );
    this.inodes = this.#store.inodes;
    this.mounts = this.#store.mounts;
    this.readDescriptors = new ReadDescriptors(this.inodes, this.#store.descriptors);
    const { markBroker = null } = options;
    this.overlayMarks = markBroker === null ? null : new OverlayMarks(this, markBroker);
    this.xattrNames = new XattrNames(this.state, xattrMaps(options.xattrMap, markBroker !== null));
    const dax = options.window === null ? "never" : options.dax;
    this.exports = new ExportTree(options.exports, { ...options, dax });
    this.#isStatic = this.exports.every(({ isImmutable }) => isImmutable);
    this.#mapsEverything = dax === "always";
    this.dax =
      options.window === null || options.dax === "never"
        ? null
        : new DaxWindow(options.window, this.state, this.inodes, this.readDescriptors, options.metrics);

    const rootFd =
      typeof options.root === "number"
        ? options.root
        : openSync(options.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const result = this.#store.enterRoot(rootFd, ROOT_ZONE);
    if (result < 0) {
      this.procPath.close();
      throw SysError.fromErrno(-result, "open_by_handle_at", String(options.root));
    }
  }

  /** Drops all that the guest holds but the root. */
  reset(): void {
    this.observer?.cleared();
    for (let slot = 1; slot < this.handles.used; slot++) {
      if (this.handles.fd(slot) >= 0) this.closeHandle(slot);
    }
    this.waiters.clear();
    this.locks.clear();
    this.readDescriptors.dropAll();
    this.#store.clear();
    this.dax?.reset();
    this.state.session.setUint32(SESSION.initialised, 0, true);
  }

  /** Gives back every descriptor. The object is of no use afterwards. */
  close(): void {
    this.reset();
    this.#store.close();
    this.procPath.close();
  }

  /** Descriptors that {@link pathFd} gave out before may be closed from now on. */
  beginRequest(): void {
    this.#store.descriptors.beginRequest();
  }

  /** The slot of the inode that the request is about, or 0 if the guest does not hold it. */
  inodeOf(request: FuseRequest): number {
    return this.inodes.slotOf(request.nodeIdLow, request.nodeIdHigh);
  }

  nodeId(slot: number): bigint {
    return (BigInt(this.inodes.sequence(slot)) << 32n) | BigInt(slot);
  }

  /** Whether changes of the inode, or of entries of the directory, are refused. */
  isReadOnly(slot: number): boolean {
    const mount = this.inodes.mount(slot);
    return this.#policyOf(mount).readOnly || (this.mounts.flags(mount) & MountFlag.readOnly) !== 0;
  }

  /** The part of the exports that an inode is in: see {@link ExportTree}. Entries are not moved or linked to another one. */
  zone(slot: number): number {
    return this.mounts.zone(this.inodes.mount(slot));
  }

  /** The zone of the name at `offset` of `source` in the directory. */
  childZone(parent: number, source: NameSource, offset: number): number {
    return this.exports.child(this.zone(parent), source.bytes, offset);
  }

  /** The zone of a file without a name in the directory. */
  namelessZone(parent: number): number {
    return this.exports.nameless(this.zone(parent));
  }

  /** Whether files on the inode's export may be mapped into the guest. */
  isMappable(slot: number): boolean {
    return this.#mapsEverything || Number.isFinite(this.policy(slot).daxThresholdBytes);
  }

  /**
   * Whether the guest shall do without OPEN or OPENDIR, as `supportFlag` of FUSE_INIT says it can: where nothing ever changes, they tell
   * neither side anything, and a guest boots faster without some hundred round trips. The guest's kernel does without them on the whole device
   * or nowhere, so all exports must be immutable.
   */
  doesWithout(supportFlag: number): boolean {
    return this.#isStatic && (this.state.session.getUint32(SESSION.offeredFlags, true) & supportFlag) !== 0;
  }

  policy(slot: number): ExportPolicy {
    return this.#policyOf(this.inodes.mount(slot));
  }

  #policyOf(mount: number): ExportPolicy {
    return this.exports.policy(this.mounts.zone(mount));
  }

  /**
   * An O_PATH descriptor of the inode, opened again where it is not open now. It is good until the end of the request, and never to be
   * closed by the caller. @returns -errno if there is none: ESTALE if the object is gone, ENFILE if there are too many.
   */
  pathFd(slot: number): number {
    return this.#store.descriptors.pathFd(slot);
  }

  /** Address of a path of the inode, for calls that take one; the next call overwrites it. @returns -errno like {@link pathFd}. */
  path(slot: number): number {
    const fd = this.#store.descriptors.pathFd(slot);
    return fd < 0 ? fd : this.procPath.path(fd);
  }

  /**
   * Opens the inode itself, which is a regular file or a directory: opening anything else has effects.
   * @returns a descriptor that the caller closes, or -errno
   */
  open(slot: number, flags: number): number {
    return this.#store.descriptors.open(slot, flags);
  }

  /** Fills {@link statx} with the inode's attributes. @returns 0, or -errno. */
  stat(slot: number): number {
    return this.#store.descriptors.stat(slot, this.statx);
  }

  /**
   * Finds the name at `offset` of `source` in the directory, counts one more reference of the guest and fills {@link statx}.
   * @returns the slot, or -errno.
   */
  lookup(parent: number, source: NameSource, offset: number): number {
    const slot = this.#store.lookup(parent, source, offset, this.childZone(parent, source, offset));
    if (slot > 0) this.observer?.entered(slot, parent);
    return slot;
  }

  /**
   * Looks for the name in the directory and fills {@link statx}.
   * @returns the slot, 0 if there is such a name but the guest does not know its inode, or -errno.
   */
  find(parent: number, source: NameSource, offset: number): number {
    const parentFd = this.pathFd(parent);
    if (parentFd < 0) return parentFd;
    const address = source.address + offset;
    if (this.statx.readName(parentFd, address) < 0) return -lastErrno();
    const slot = this.#store.findKnown(parent, address, this.childZone(parent, source, offset));
    return this.inodes.hasFlag(slot, InodeFlag.isForgotten) ? 0 : slot;
  }

  /**
   * Puts the object behind `fd`, any descriptor of it, into the table, counts one reference of the guest and fills {@link statx}.
   * @param parent the directory that it was made in, under the name at `offset` of `source`; null for an object without a name
   * @returns the slot, or -errno.
   */
  adopt(fd: number, parent: number, source: NameSource | null, offset: number): number {
    const zone = source === null ? this.namelessZone(parent) : this.childZone(parent, source, offset);
    return this.#store.adopt(fd, parent, zone, source, offset);
  }

  /**
   * To be called before the name at `offset` of `source` is taken from what has it: an inode that the guest knows stays usable
   * without a name. Takes {@link statx}.
   * @returns its slot, to be given to {@link keptName} if the name stays after all; 0 if there is nothing to do; or -errno: ENFILE if the
   * guest knows too many inodes without names.
   */
  losesName(parent: number, source: NameSource, offset: number): number {
    const slot = this.#store.findKnown(
      parent,
      source.address + offset,
      this.childZone(parent, source, offset),
    );
    if (slot === 0) return 0;
    const hasOthers = this.statx.type !== S_IFDIR && this.statx.linkCount > 1;
    if (hasOthers && !this.#store.isFoundBy(slot, parent, source, offset)) return 0;
    return this.keep(slot) || slot;
  }

  /**
   * To be called before the name at `offset` of `source` is given up for another one. Takes {@link statx}.
   * @returns a slot to be given to {@link renamed}; 0 if there is nothing to do
   */
  willBeRenamed(parent: number, source: NameSource, offset: number): number {
    if (!this.#store.usesNames(parent)) return 0;
    return this.#store.findKnown(parent, source.address + offset, this.childZone(parent, source, offset));
  }

  /** The inode has the name at `offset` of `source` now. */
  renamed(slot: number, parent: number, source: NameSource, offset: number): void {
    if (slot > 0) this.#store.setName(slot, parent, source, offset);
  }

  /** The name was not taken. */
  keptName(slot: number): void {
    if (slot > 0) this.#store.descriptors.unkeep(slot);
  }

  /** Keeps an inode that has no name, or will have none, usable until the guest forgets it. @returns 0, or -errno. */
  keep(slot: number): number {
    return this.#store.descriptors.keep(slot);
  }

  /** Takes back `count` references of the guest. */
  forget(slot: number, count: number): void {
    if (slot === ROOT_SLOT || slot === 0) return;
    const left = this.inodes.lookups(slot) - count;
    if (left > 0) {
      this.inodes.setLookups(slot, left);
      return;
    }
    this.observer?.left(slot);
    this.readDescriptors.drop(slot);
    this.#store.forget(slot);
  }

  closeHandle(slot: number): void {
    this.locks.removeAllOf(slot);
    close(this.handles.fd(slot));
    this.handles.remove(slot);
    this.metrics.handlesLive--;
  }

  /** Writes struct fuse_entry_out for the inode that {@link statx} describes, found in the directory `parent`. */
  writeEntry(view: DataView, offset: number, parent: number, slot: number): void {
    writeEntry(
      view,
      offset,
      slot,
      this.inodes.sequence(slot),
      this.#isQuiet(parent) ? this.policy(parent).quietValid : this.policy(parent).entryValid,
      this.attrValid(slot),
    );
    this.#writeAttr(view, offset + ENTRY_ATTR_OFFSET, slot, this.#beginsMount(parent, slot));
  }

  /** Writes struct fuse_attr_out for the inode that {@link statx} describes. */
  writeAttrOut(reply: FuseReply, offset: number, slot: number): void {
    writeAttrValidity(reply.view, offset, this.attrValid(slot));
    this.#writeAttr(reply.view, offset + ATTR_OUT_ATTR_OFFSET, slot, 0);
  }

  /** Writes struct fuse_statx for the inode that {@link statx} describes. */
  writeStatx(reply: FuseReply, offset: number, slot: number): void {
    const { statx } = this;
    // Up to here the structure is the host's own.
    statx.copyTo(reply.bytes, offset, FUSE_STATX_BYTES);
    const { view } = reply;
    view.setUint32(offset, view.getUint32(offset, true) & STATX_MASK, true);
    view.setUint32(offset + 20, this.uids.toGuest(statx.uid), true);
    view.setUint32(offset + 24, this.gids.toGuest(statx.gid), true);
    view.setUint32(offset + 36, guestInodeHigh(statx.inodeHigh, this.inodes.device(slot)), true);
  }

  /** FUSE_ATTR_SUBMOUNT for the root of a mount that the guest is to mount by itself, 0 otherwise. */
  #beginsMount(parent: number, slot: number): number {
    if (this.statx.type !== S_IFDIR || (this.#flags & FUSE_SUBMOUNTS) === 0) return 0;
    return this.mounts.isSame(this.inodes.mount(parent), this.inodes.mount(slot)) ? 0 : FUSE_ATTR_SUBMOUNT;
  }

  /** Whether nothing on the device ever changes. */
  get isStatic(): boolean {
    return this.#isStatic;
  }

  /** Whether the guest gathers writes in its page cache. */
  get gathersWrites(): boolean {
    return (this.#flags & FUSE_WRITEBACK_CACHE) !== 0;
  }

  /**
   * Whether set-id bits stay on a file whose content changes by a request that cannot say so, as FALLOCATE: the guest has taken them away
   * where that is due, unless FUSE_INIT made it the daemon's task. Then they go: better for root's changes, too, than for nobody's.
   */
  get keepsSetIdBits(): boolean {
    return (this.#flags & FUSE_HANDLE_KILLPRIV_V2) === 0;
  }

  /** What FUSE_INIT has settled. */
  get #flags(): number {
    return this.state.session.getUint32(SESSION.flags, true);
  }

  /** Of what is in a directory every change is known while it is followed; files may be changed by other names, and in mapped memory. */
  attrValid(slot: number): Validity {
    const isQuiet = this.inodes.type(slot) === S_IFDIR && this.#isQuiet(slot);
    return isQuiet ? this.policy(slot).quietValid : this.policy(slot).attrValid;
  }

  #isQuiet(directory: number): boolean {
    return this.observer?.isQuiet(directory) === true;
  }

  #writeAttr(view: DataView, offset: number, slot: number, attrFlags: number): void {
    const statx = this.statx;
    const high = guestInodeHigh(statx.inodeHigh, this.inodes.device(slot));
    const isDax =
      statx.type === S_IFREG &&
      statx.sizeBytes >= this.policy(slot).daxThresholdBytes &&
      this.isReadOnly(slot);
    const uid = this.uids.toGuest(statx.uid);
    const gid = this.gids.toGuest(statx.gid);
    writeAttr(
      view,
      offset,
      statx,
      statx.inodeLow,
      high,
      uid,
      gid,
      isDax ? attrFlags | FUSE_ATTR_DAX : attrFlags,
    );
  }
}
