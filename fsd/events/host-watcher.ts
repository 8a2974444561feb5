import { readlinkSync } from "node:fs";
import { basename, dirname } from "node:path";
import { fstatfs, S_IFDIR, S_IFREG } from "../../lib/sys/file.js";
import {
  IN_ATTRIB,
  IN_CLOSE_WRITE,
  IN_CREATE,
  IN_DELETE,
  IN_EXCL_UNLINK,
  IN_IGNORED,
  IN_ISDIR,
  IN_MODIFY,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  Inotify,
  type InotifyEvent,
} from "../../lib/sys/inotify.js";
import { addressOf } from "../../lib/sys/libc.js";
import type { FileSystem } from "../passthrough/file-system.js";
import type { InodeObserver } from "../passthrough/inode-observer.js";
import { ROOT_SLOT } from "../passthrough/inode-table.js";
import { NameBuffer } from "../passthrough/name-buffer.js";
import type { EventQueue } from "./event-queue.js";
import type { HostEvent, HostEventKind } from "./host-event.js";
import { OwnChanges } from "./own-changes.js";

/** Most inodes that are watched. A watch costs the host's kernel about a kilobyte, which pins an inode. */
const WATCHES_MAX = 1024;

const MASK =
  IN_CREATE |
  IN_DELETE |
  IN_MOVED_FROM |
  IN_MOVED_TO |
  IN_MODIFY |
  IN_CLOSE_WRITE |
  IN_ATTRIB |
  IN_EXCL_UNLINK;

/** How long the host must have changed nothing in a directory before the guest may trust it for longer. */
const QUIET_AFTER_MS = 10_000;
/** What the guest counts on top of a time that it was given. */
const SLACK_MS = 1000;

/** File systems on which inotify tells every change: not those that other machines change, and no layers over others. ext, XFS, Btrfs, tmpfs, F2FS. */
const TELLING: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0xf2f52010]);
const STATFS_BYTES = 120;

/** Of a rename whose second half has not come yet. */
interface Departure {
  readonly slot: number;
  readonly name: string;
  readonly type: number;
}

/**
 * Follows what the host changes in the shared exports that the guest knows, by inotify(7) on their directories, and on files that are exports
 * by themselves. The guest's own changes, which come from this process, are left out.
 *
 * One inode may be known to the guest by several node ids, as the same volume in two containers is: a change made through one of them is an
 * event for the others.
 */
export class HostWatcher implements InodeObserver {
  readonly own = new OwnChanges();
  readonly #inotify = new Inotify();
  /** Slots by watch descriptor, and the other way round, in the order in which they came. */
  readonly #slots = new Map<number, number[]>();
  readonly #watches = new Map<number, number>();
  readonly #names = new NameBuffer();
  readonly #rootPath: string;
  readonly #departures = new Map<string, Departure>();
  /** Directories whose changes are all told, with the time of the last one; and until when the guest may remember what it was told of them. */
  readonly #changedMs = new Map<number, number>();
  readonly #keptUntilMs = new Map<number, number>();
  readonly #statfs = new DataView(new ArrayBuffer(STATFS_BYTES));
  readonly #statfsAddress = addressOf(this.#statfs);

  /** @param now a clock in milliseconds @throws SysError at the limit of inotify instances */
  constructor(
    private readonly fs: FileSystem,
    private readonly device: string,
    private readonly queue: EventQueue,
    private readonly now = () => performance.now(),
  ) {
    this.#rootPath = this.#pathOf(ROOT_SLOT);
    // Of what the guest knew before, directories only: whose entry a file was is not known any more.
    for (let slot = ROOT_SLOT; slot !== 0; slot = fs.inodes.next(slot)) {
      this.entered(slot, slot);
      // Whoever followed before, or another worker, may have let the guest trust it.
      if (this.#watches.has(slot)) this.#mayBeKept(slot, this.now());
    }
  }

  /** Readable when there is something to {@link drain}. */
  get fd(): number {
    return this.#inotify.fd;
  }

  /** The guest has come to know an inode, by an entry of `parent`. */
  entered(slot: number, parent: number): void {
    const { fs } = this;
    if (!fs.policies.of(slot).isShared || this.#watches.has(slot)) return;
    // Events of files come from their directory, unless that is not part of the export.
    if (fs.inodes.type(slot) !== S_IFDIR) {
      if (fs.inodes.type(slot) !== S_IFREG || fs.policies.of(parent).isShared) return;
    }
    const path = fs.path(slot);
    const wd = path < 0 ? path : this.#inotify.add(path, MASK);
    // At the limit of watches, or gone already: then it is as if there were no events.
    if (wd < 0) return;
    this.#watches.set(slot, wd);
    if (fs.inodes.type(slot) === S_IFDIR && this.#tellsAll(slot)) this.#changedMs.set(slot, this.now());
    const slots = this.#slots.get(wd);
    if (slots === undefined) this.#slots.set(wd, [slot]);
    else slots.push(slot);
    const oldest = this.#watches.keys().next();
    if (this.#watches.size > WATCHES_MAX && !oldest.done) this.left(oldest.value);
  }

  /** The guest has forgotten an inode. */
  left(slot: number): void {
    const wd = this.#watches.get(slot);
    if (wd === undefined) return;
    this.#forget(slot);
    const others = this.#slots.get(wd)?.filter((candidate) => candidate !== slot) ?? [];
    if (others.length > 0) {
      this.#slots.set(wd, others);
    } else {
      this.#slots.delete(wd);
      this.#inotify.remove(wd);
    }
  }

  cleared(): void {
    for (const wd of this.#slots.keys()) this.#inotify.remove(wd);
    this.#slots.clear();
    this.#watches.clear();
    this.#changedMs.clear();
    this.#keptUntilMs.clear();
    this.own.reset();
    // Nobody has to look for it.
    this.entered(ROOT_SLOT, ROOT_SLOT);
  }

  isQuiet(directory: number): boolean {
    const changedMs = this.#changedMs.get(directory);
    const nowMs = this.now();
    if (changedMs === undefined || nowMs - changedMs < QUIET_AFTER_MS) return false;
    this.#mayBeKept(directory, nowMs);
    return true;
  }

  #mayBeKept(directory: number, nowMs: number): void {
    this.#keptUntilMs.set(
      directory,
      nowMs + this.fs.policies.of(directory).quietValid.seconds * 1000 + SLACK_MS,
    );
  }

  /** Puts what has happened since the last time into the queue. */
  drain(): void {
    this.#inotify.drain((event) => this.#take(event));
    for (const { slot, name, type } of this.#departures.values()) this.#tell(slot, "rename", type, "", name);
    this.#departures.clear();
    this.own.clear();
    this.fs.metrics.hostWatches = this.#watches.size;
  }

  close(): void {
    this.#inotify.close();
    this.fs.metrics.hostWatches = 0;
  }

  #forget(slot: number): void {
    this.#watches.delete(slot);
    this.#changedMs.delete(slot);
    this.#keptUntilMs.delete(slot);
  }

  #tellsAll(slot: number): boolean {
    if (this.fs.policies.of(slot).quietValid.seconds === 0) return false;
    const fd = this.fs.pathFd(slot);
    if (fd < 0 || fstatfs(fd, this.#statfsAddress) < 0) return false;
    return TELLING.has(this.#statfs.getUint32(0, true));
  }

  #take(event: InotifyEvent): void {
    if ((event.mask & IN_Q_OVERFLOW) !== 0) {
      // Nobody knows what changed: whoever waits for anything shall look.
      for (const slot of this.#watches.keys()) this.#tell(slot, "attrib", this.fs.inodes.type(slot));
      return;
    }
    const slots = this.#slots.get(event.wd) ?? [];
    if ((event.mask & IN_IGNORED) !== 0) {
      for (const slot of slots) this.#forget(slot);
      this.#slots.delete(event.wd);
      return;
    }
    for (const slot of slots) {
      this.fs.metrics.hostEvents++;
      if (event.name === "") this.#takeOfItself(slot, event);
      else this.#takeOfEntry(slot, event);
    }
  }

  #takeOfItself(slot: number, { mask }: InotifyEvent): void {
    if (!this.own.hasInode(slot)) this.#tellContent(slot, mask, this.fs.inodes.type(slot), "");
  }

  #takeOfEntry(slot: number, { mask, name, cookie }: InotifyEvent): void {
    if ((mask & (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB)) !== 0) {
      const found = this.fs.find(slot, this.#names.put(name), 0);
      if (found < 0 || this.own.hasInode(found)) return;
      this.#tellContent(slot, mask, this.fs.statx.type, name);
      return;
    }
    const wasDirectory = (mask & IN_ISDIR) !== 0 ? S_IFDIR : S_IFREG;
    const isOwn = this.own.hasName(slot, name);
    if ((mask & IN_MOVED_FROM) !== 0) {
      if (!isOwn) this.#departures.set(`${slot}/${cookie}`, { slot, name, type: wasDirectory });
      return;
    }
    if (isOwn) return;
    if ((mask & IN_DELETE) !== 0) {
      this.#tell(slot, "remove", wasDirectory, name);
      return;
    }
    const departure = this.#departures.get(`${slot}/${cookie}`);
    this.#departures.delete(`${slot}/${cookie}`);
    // What is gone again is not told of.
    if (this.fs.find(slot, this.#names.put(name), 0) < 0) return;
    const kind = (mask & IN_CREATE) !== 0 ? "create" : "rename";
    this.#tell(slot, kind, this.fs.statx.type, name, departure?.name ?? "");
  }

  #tellContent(slot: number, mask: number, type: number, name: string): void {
    if ((mask & IN_MODIFY) !== 0) this.#tell(slot, "modify", type, name);
    if ((mask & IN_CLOSE_WRITE) !== 0) this.#tell(slot, "close-write", type, name);
    if ((mask & IN_ATTRIB) !== 0) this.#tell(slot, "attrib", type, name);
  }

  #tell(slot: number, kind: HostEventKind, type: number, name = "", oldName = ""): void {
    const path = this.#pathOf(slot);
    if (path === "" || !isBelow(path, this.#rootPath)) return;
    const relative = path.slice(this.#rootPath.length).replace(/^\/+/, "");
    const isDirectory = this.fs.inodes.type(slot) === S_IFDIR;
    const nowMs = this.now();
    if (this.#changedMs.has(slot)) this.#changedMs.set(slot, nowMs);
    const event: HostEvent = {
      device: this.device,
      kind,
      directory: isDirectory ? relative : dirname(relative),
      node: this.fs.nodeId(slot).toString(16),
      name: isDirectory ? name : basename(relative),
      oldName,
      type,
      isKept: (this.#keptUntilMs.get(slot) ?? 0) > nowMs,
    };
    this.fs.metrics.hostEventsTold++;
    this.queue.add(event);
  }

  /** Where the inode lies on the host, "" if nowhere any more. */
  #pathOf(slot: number): string {
    const fd = this.fs.pathFd(slot);
    if (fd < 0) return "";
    const path = readlinkSync(`/proc/self/fd/${fd}`, "latin1");
    return path.endsWith(" (deleted)") ? "" : path;
  }
}

function isBelow(path: string, root: string): boolean {
  return path === root || path.startsWith(root === "/" ? root : `${root}/`);
}
