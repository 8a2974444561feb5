import { openSync } from "node:fs";
import { ThreadCredentials } from "../../lib/sys/credentials.js";
import { SysError } from "../../lib/sys/errno.js";
import { close, O_CLOEXEC, O_DIRECT, O_DIRECTORY, O_NOATIME, O_PATH, S_IFDIR } from "../../lib/sys/file.js";
import { Iovecs } from "../../lib/sys/iovec.js";
import { lastErrno } from "../../lib/sys/libc.js";
import { Statx } from "../../lib/sys/statx.js";
import type { ShmemWindow } from "../../lib/vhost-user/shmem.js";
import { DaxWindow } from "../dax/dax-window.js";
import type { FuseRequest } from "../fuse/request.js";
import type { FsdMetrics } from "../metrics.js";
import { createFsdState, type FsdState } from "../state.js";
import { ExportTree, ROOT_ZONE } from "./export-tree.js";
import { HandleTable } from "./handle-table.js";
import type { IdMap } from "./id-map.js";
import { InodeAttributes } from "./inode-attributes.js";
import { InodeFlag } from "./inode-fields.js";
import type { NameSource } from "./inode-locators.js";
import type { InodeObserver } from "./inode-observer.js";
import { InodePolicies } from "./inode-policies.js";
import { InodeStore } from "./inode-store.js";
import { type InodeTable, ROOT_SLOT } from "./inode-table.js";
import { LockTable } from "./lock-table.js";
import { LockWaiters } from "./lock-waiters.js";
import { LongCalls } from "./long-calls.js";
import type { MarkBroker } from "./mark-broker.js";
import type { MountTable } from "./mount-table.js";
import { OverlayMarks } from "./overlay-marks.js";
import { ProcPath } from "./proc-path.js";
import { ReadDescriptors } from "./read-descriptors.js";
import { RememberedAnswers } from "./remembered-answers.js";
import { Session } from "./session.js";
import type { SharePolicy } from "./share-policy.js";
import { deviceLimits } from "./state-limits.js";
import { UndoLog } from "./undo-log.js";
import { XattrNames, xattrMaps } from "./xattr-names.js";

export interface FileSystemOptions extends SharePolicy {
  readonly root: string | number;
  readonly window: ShmemWindow | null;
  readonly metrics: FsdMetrics;
  /** How many system calls that take long are made on other threads at a time. */
  readonly longCallsMax: number;
  /** Where there is one, host and guest have the directories of overlay exports in common. */
  readonly markBroker?: MarkBroker | null;
  /** Where the tables are: empty ones, or those of a worker that this one comes after. Without any, the file system makes its own. */
  readonly state?: FsdState;
}

/**
 * A directory tree of the host as the guest sees it: the tables of what the guest holds, and the steps that many operations
 * share. Operations are functions beside it, one file for each concern.
 *
 * The guest may be hostile. Every object is reached by the descriptor of its parent and one name, symbolic links never
 * followed, and every later use goes through the object's own descriptor.
 */
export class FileSystem {
  readonly state: FsdState;
  readonly undo: UndoLog;
  readonly inodes: InodeTable;
  readonly handles: HandleTable;
  readonly locks: LockTable;
  readonly waiters: LockWaiters;
  readonly longCalls: LongCalls;
  readonly mounts: MountTable;
  readonly exports: ExportTree;
  readonly policies: InodePolicies;
  readonly session: Session;
  readonly attributes: InodeAttributes;
  readonly answers: RememberedAnswers;
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

  /** @throws Error of node:fs if the root cannot be opened */
  constructor(options: FileSystemOptions) {
    const limits = deviceLimits(options.window?.lengthBytes ?? 0);
    this.state = options.state ?? createFsdState(limits);
    this.undo = new UndoLog(this.state);
    this.handles = new HandleTable(this.state);
    this.locks = new LockTable(this.state);
    this.waiters = new LockWaiters(this.state);
    this.longCalls = new LongCalls(options.longCallsMax);
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
      limits.keptInodes,
    );
    this.inodes = this.#store.inodes;
    this.mounts = this.#store.mounts;
    this.readDescriptors = new ReadDescriptors(this.inodes, this.#store.descriptors);
    const dax = options.window === null ? "never" : options.dax;
    this.exports = new ExportTree(options.exports, { ...options, dax });
    this.policies = new InodePolicies(this.inodes, this.mounts, this.exports, dax === "always");
    this.session = new Session(
      this.state.session,
      this.exports.every(({ isImmutable }) => isImmutable),
    );
    this.attributes = new InodeAttributes(this);
    this.answers = new RememberedAnswers(this.inodes, this.policies, () => this.longCalls.areNone);
    const { markBroker = null } = options;
    this.overlayMarks = markBroker === null ? null : new OverlayMarks(this, markBroker);
    this.xattrNames = new XattrNames(this.session, xattrMaps(options.xattrMap, markBroker !== null));
    this.dax =
      options.window === null || options.dax === "never"
        ? null
        : new DaxWindow(options.window, this.state, this.inodes, this.readDescriptors, options.metrics);

    // Another worker has entered it.
    if (this.inodes.hasFlag(ROOT_SLOT, InodeFlag.used)) return;
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
    this.answers.clear();
    for (let slot = 1; slot < this.handles.used; slot++) {
      if (this.handles.fd(slot) >= 0) this.closeHandle(slot);
    }
    this.waiters.clear();
    this.longCalls.reset();
    this.locks.clear();
    this.readDescriptors.dropAll();
    this.#store.clear();
    this.dax?.reset();
    this.session.end();
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
    const slot = this.#store.lookup(parent, source, offset, this.policies.childZone(parent, source, offset));
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
    const slot = this.#store.findKnown(parent, address, this.policies.childZone(parent, source, offset));
    return this.inodes.hasFlag(slot, InodeFlag.isForgotten) ? 0 : slot;
  }

  /**
   * Puts the object behind `fd`, any descriptor of it, into the table, counts one reference of the guest and fills {@link statx}.
   * @param parent the directory that it was made in, under the name at `offset` of `source`; null for an object without a name
   * @returns the slot, or -errno.
   */
  adopt(fd: number, parent: number, source: NameSource | null, offset: number): number {
    const zone =
      source === null ? this.policies.namelessZone(parent) : this.policies.childZone(parent, source, offset);
    return this.#store.adopt(fd, parent, zone, source, offset);
  }

  /** To be called before a name is made or taken away: notes what has it, for a worker that may have to find out whether that was done. */
  noteName(parentFd: number, nameAddress: number): void {
    const isThere = this.statx.readName(parentFd, nameAddress) === 0;
    this.undo.noteFound(isThere, isThere ? this.statx.inodeLow : 0, isThere ? this.statx.inodeHigh : 0);
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
      this.policies.childZone(parent, source, offset),
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
    return this.#store.findKnown(
      parent,
      source.address + offset,
      this.policies.childZone(parent, source, offset),
    );
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
}
