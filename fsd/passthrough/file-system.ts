import { openSync } from "node:fs";
import { ThreadCredentials } from "../../lib/sys/credentials.js";
import { Errno } from "../../lib/sys/errno.js";
import {
  close,
  fstatfs,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  openat,
  S_IFREG,
  ST_RDONLY,
} from "../../lib/sys/file.js";
import { Iovecs } from "../../lib/sys/iovec.js";
import { addressOf, check, lastErrno } from "../../lib/sys/libc.js";
import { descriptorLimit } from "../../lib/sys/resource-limit.js";
import { Statx } from "../../lib/sys/statx.js";
import type { ShmemWindow } from "../../lib/vhost-user/shmem.js";
import { DaxWindow } from "../dax/dax-window.js";
import { DAX_RANGE_BYTES, FUSE_ATTR_DAX } from "../fuse/constants.js";
import {
  ATTR_OUT_ATTR_OFFSET,
  ENTRY_ATTR_OFFSET,
  type FuseReply,
  writeAttr,
  writeAttrValidity,
  writeEntry,
} from "../fuse/reply.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FsdMetrics } from "../metrics.js";
import { createFsdState, type FsdState, SESSION } from "../state.js";
import { NameMap } from "../xattr-map/name-map.js";
import type { ExportPolicy } from "./export-policy.js";
import { ExportTree, ROOT_ZONE } from "./export-tree.js";
import { HandleTable } from "./handle-table.js";
import type { IdMap } from "./id-map.js";
import { InodeDescriptors } from "./inode-descriptors.js";
import { guestInodeHigh } from "./inode-number.js";
import { InodeTable, ROOT_SLOT } from "./inode-table.js";
import { MountFlag, MountTable } from "./mount-table.js";
import { ProcPath } from "./proc-path.js";
import { ReadDescriptors } from "./read-descriptors.js";
import type { SharePolicy } from "./share-policy.js";
import { XattrNames } from "./xattr-names.js";

export interface FileSystemOptions extends SharePolicy {
  readonly root: string | number;
  readonly window: ShmemWindow | null;
  readonly metrics: FsdMetrics;
}

/** Where names are taken from: bytes, and the address of the first of them. */
export interface NameSource {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** Descriptors that the process needs for itself: sockets, guest memory, eventfds. */
const RESERVED_DESCRIPTORS = 1024;
const INODES_MAX = 1 << 18;
const HANDLES_MAX = 1 << 16;
const MOUNTS_MAX = 4096;
const DEVICES_MAX = 4096;

/** `f_flags` in struct statfs. */
const STATFS_FLAGS_OFFSET = 80;
const STATFS_BYTES = 120;

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
  readonly mounts: MountTable;
  readonly exports: ExportTree;
  readonly dax: DaxWindow | null;
  readonly credentials = ThreadCredentials.ofThisThread();
  readonly procPath: ProcPath;
  readonly descriptors: InodeDescriptors;
  readonly readDescriptors: ReadDescriptors;
  readonly xattrNames: XattrNames;
  readonly metrics: FsdMetrics;
  readonly uids: IdMap;
  readonly gids: IdMap;
  /** What the last look-up or {@link stat} found. */
  readonly statx = new Statx();
  readonly iovecs = new Iovecs();

  readonly #isStatic: boolean;
  readonly #mapsEverything: boolean;

  /** @throws Error of node:fs if the root cannot be opened */
  constructor(options: FileSystemOptions) {
    const descriptors = Math.max(256, descriptorLimit().soft - RESERVED_DESCRIPTORS);
    this.state = createFsdState({
      // Two devices in a process share its descriptors: neither may take more than half.
      inodes: Math.min(INODES_MAX, Math.floor(descriptors * 0.4)),
      handles: Math.min(HANDLES_MAX, Math.floor(descriptors * 0.1)),
      mounts: MOUNTS_MAX,
      devices: DEVICES_MAX,
      daxRanges: options.window === null ? 0 : Math.floor(options.window.lengthBytes / DAX_RANGE_BYTES),
    });
    this.inodes = new InodeTable(this.state);
    this.handles = new HandleTable(this.state);
    this.mounts = new MountTable(this.state);
    this.metrics = options.metrics;
    this.uids = options.uids;
    this.gids = options.gids;
    this.procPath = new ProcPath();
    this.descriptors = new InodeDescriptors(this.inodes, this.procPath);
    this.readDescriptors = new ReadDescriptors(this.inodes, this.descriptors);
    this.xattrNames = new XattrNames(this.state, options.xattrMap ?? NameMap.identity());
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
    check(this.statx.readFd(rootFd), "statx", String(options.root));
    const mount = this.mounts.insert(this.statx, ROOT_ZONE, mountFlags(rootFd));
    this.mounts.count(mount, 1);
    const slot = this.inodes.insert(rootFd, this.statx, mount, this.mounts.device(this.statx, 0));
    if (slot !== ROOT_SLOT) throw new RangeError("the inode table is not empty");
  }

  /** Drops all that the guest holds but the root. */
  reset(): void {
    for (let slot = 1; slot < this.handles.used; slot++) {
      if (this.handles.fd(slot) >= 0) this.closeHandle(slot);
    }
    for (let slot = ROOT_SLOT + 1; slot < this.inodes.used; slot++) {
      if (this.inodes.fd(slot) >= 0) this.#dropInode(slot);
    }
    this.dax?.reset();
    this.state.session.setUint32(SESSION.initialised, 0, true);
  }

  /** Gives back every descriptor. The object is of no use afterwards. */
  close(): void {
    this.reset();
    this.#dropInode(ROOT_SLOT);
    this.procPath.close();
  }

  /** The slot of the inode that the request is about, or 0 if the guest does not hold it. */
  inodeOf(request: FuseRequest): number {
    return this.inodes.slotOf(request.nodeIdLow, request.nodeIdHigh);
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
    return this.descriptors.pathFd(slot);
  }

  /** Address of a path of the inode, for calls that take one; the next call overwrites it. @returns -errno like {@link pathFd}. */
  path(slot: number): number {
    const fd = this.descriptors.pathFd(slot);
    return fd < 0 ? fd : this.procPath.path(fd);
  }

  /**
   * Opens the inode itself, which is a regular file or a directory: opening anything else has effects.
   * @returns a descriptor that the caller closes, or -errno
   */
  open(slot: number, flags: number): number {
    return this.descriptors.open(slot, flags);
  }

  /** Fills {@link statx} with the inode's attributes. @returns 0, or -errno. */
  stat(slot: number): number {
    const fd = this.descriptors.pathFd(slot);
    if (fd < 0) return fd;
    return this.statx.readFd(fd) < 0 ? -lastErrno() : 0;
  }

  /**
   * Finds the name at `offset` of `source` in the directory, counts one more reference of the guest and fills {@link statx}.
   * @returns the slot, or -errno.
   */
  lookup(parent: number, source: NameSource, offset: number): number {
    const parentFd = this.descriptors.pathFd(parent);
    if (parentFd < 0) return parentFd;
    const nameAddress = source.address + offset;
    if (this.statx.readName(parentFd, nameAddress) < 0) return -lastErrno();
    // The descriptor in a slot keeps its inode from being reused: equal numbers are the same object, with no need to open it.
    const zone = this.childZone(parent, source, offset);
    const known = this.#findInode(this.mounts.find(this.statx, zone, this.inodes.mount(parent)), parent);
    if (known > 0) {
      this.inodes.setLookups(known, this.inodes.lookups(known) + 1);
      return known;
    }
    const fd = openat(parentFd, nameAddress, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    return fd < 0 ? -lastErrno() : this.#enter(fd, parent, zone);
  }

  /**
   * Puts the object behind `fd`, any descriptor of it, into the table, counts one reference of the guest and fills {@link statx}.
   * @param near the slot of its parent @param zone its own @returns the slot, or -errno.
   */
  adopt(fd: number, near: number, zone: number): number {
    const pathFd = openat(this.procPath.dir, this.procPath.name(fd), O_PATH | O_CLOEXEC, 0);
    return pathFd < 0 ? -lastErrno() : this.#enter(pathFd, near, zone);
  }

  /** Like {@link adopt}, with an O_PATH descriptor that is taken over. */
  #enter(fd: number, near: number, zone: number): number {
    if (this.statx.readFd(fd) < 0) return this.#refuse(fd, lastErrno());
    let mount = this.mounts.find(this.statx, zone, this.inodes.mount(near));
    let slot = this.#findInode(mount, near);
    if (slot > 0) {
      close(fd);
    } else {
      if (mount < 0) mount = this.mounts.insert(this.statx, zone, mountFlags(fd));
      const device = this.mounts.device(this.statx, this.inodes.device(near));
      if (mount < 0 || device < 0) return this.#refuse(fd, Errno.ENFILE);
      slot = this.inodes.insert(fd, this.statx, mount, device);
      if (slot === 0) return this.#refuse(fd, Errno.ENFILE);
      this.mounts.count(mount, 1);
      this.metrics.inodesLive++;
    }
    this.inodes.setLookups(slot, this.inodes.lookups(slot) + 1);
    return slot;
  }

  /** Takes back `count` references of the guest. */
  forget(slot: number, count: number): void {
    if (slot === ROOT_SLOT || slot === 0) return;
    const left = this.inodes.lookups(slot) - count;
    if (left > 0) this.inodes.setLookups(slot, left);
    else this.#dropInode(slot);
  }

  closeHandle(slot: number): void {
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
      this.policy(parent).entryValid,
      this.policy(slot).attrValid,
    );
    this.#writeAttr(view, offset + ENTRY_ATTR_OFFSET, slot);
  }

  /** Writes struct fuse_attr_out for the inode that {@link statx} describes. */
  writeAttrOut(reply: FuseReply, offset: number, slot: number): void {
    writeAttrValidity(reply.view, offset, this.policy(slot).attrValid);
    this.#writeAttr(reply.view, offset + ATTR_OUT_ATTR_OFFSET, slot);
  }

  #writeAttr(view: DataView, offset: number, slot: number): void {
    const statx = this.statx;
    const high = guestInodeHigh(statx.inodeHigh, this.inodes.device(slot));
    const isDax =
      statx.type === S_IFREG &&
      statx.sizeBytes >= this.policy(slot).daxThresholdBytes &&
      this.isReadOnly(slot);
    const uid = this.uids.toGuest(statx.uid);
    const gid = this.gids.toGuest(statx.gid);
    writeAttr(view, offset, statx, statx.inodeLow, high, uid, gid, isDax ? FUSE_ATTR_DAX : 0);
  }

  /** The slot of the inode that {@link statx} describes on the mount of that index, or 0. */
  #findInode(mount: number, near: number): number {
    if (mount < 0) return 0;
    const device = this.mounts.device(this.statx, this.inodes.device(near));
    return device < 0 ? 0 : this.inodes.find(this.statx, mount, device);
  }

  #dropInode(slot: number): void {
    this.readDescriptors.drop(slot);
    close(this.inodes.fd(slot));
    this.mounts.count(this.inodes.mount(slot), -1);
    this.inodes.remove(slot);
    if (slot !== ROOT_SLOT) this.metrics.inodesLive--;
  }

  #refuse(fd: number, errno: number): number {
    close(fd);
    return -errno;
  }
}

/** Finds out about a mount by anything on it. */
function mountFlags(fd: number): number {
  const statfs = new DataView(new ArrayBuffer(STATFS_BYTES));
  if (fstatfs(fd, addressOf(statfs)) < 0) return 0;
  return (statfs.getUint32(STATFS_FLAGS_OFFSET, true) & ST_RDONLY) !== 0 ? MountFlag.readOnly : 0;
}
