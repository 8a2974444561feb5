import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { hasErrno } from "../../lib/sys/errno.js";
import { encodeReplay, REPLAY_NAME, REPLAY_XATTR, ReplayKind } from "../../proto/replay.js";
import { log } from "../log.js";
import { makeNode, openBelow, setAttribute, statFresh, touch } from "../sys/replay-calls.js";
import { Watches } from "./watches.js";

const { O_DIRECTORY, O_NOFOLLOW, O_WRONLY, S_IFDIR, S_IFLNK, S_IFREG } = constants;
const O_PATH = 0o10000000;

export type EventKind = "attrib" | "modify" | "close-write" | "create" | "remove" | "rename";

/** See HostEvent of fsd/events/, whose events these are. */
export interface Event {
  readonly kind: EventKind;
  readonly directory: Buffer;
  readonly node: bigint;
  readonly name: Buffer;
  readonly oldName: Buffer;
  readonly type: number;
  /** Whether the kernel may remember what was there before. */
  readonly isKept: boolean;
}

export interface Outcome {
  unwatched: number;
  replayed: number;
  failed: number;
}

/**
 * Lets programs that wait with inotify(7) see what the host has changed: for an event on which somebody waits, it makes the system call that
 * causes the same event in this guest's kernel, announced to kata-fsd, which does nothing but answer it. See proto/replay.ts.
 *
 * All of it happens on the thread that calls, without a break: what is announced is announced for a thread.
 *
 * @param share where the device is mounted
 * @throws Error of node:fs if it is not there
 */
export function replayEvents(share: string, events: readonly Event[]): Outcome {
  const watches = Watches.read();
  if (watches.isEmpty && !events.some(({ isKept }) => isKept))
    return { unwatched: events.length, replayed: 0, failed: 0 };
  const replayer = new Replayer(share, watches);
  try {
    for (const event of events) replayer.replay(event);
    if (events.some(({ kind }) => kind === "remove" || kind === "rename")) replayer.replayGone();
    return replayer.outcome;
  } finally {
    replayer.close();
  }
}

class Replayer {
  readonly outcome: Outcome = { unwatched: 0, replayed: 0, failed: 0 };
  readonly #share: number;
  /** Descriptors of directories by path, undefined for those that are not there. */
  readonly #directories = new Map<string, number | undefined>();

  constructor(
    share: string,
    private readonly watches: Watches,
  ) {
    this.#share = openSync(share, O_PATH | O_DIRECTORY);
  }

  close(): void {
    try {
      this.#announce(ReplayKind.none, 0n);
    } finally {
      for (const fd of this.#directories.values()) if (fd !== undefined) closeSync(fd);
      closeSync(this.#share);
    }
  }

  replay(event: Event): void {
    try {
      const directory = this.#open(event.directory);
      const isAwaited = directory !== undefined && this.#isAwaited(directory, event);
      if (isAwaited) this.#perform(directory, event);
      if (directory !== undefined && event.isKept) this.#refresh(directory, event, !isAwaited);
      this.outcome[isAwaited ? "replayed" : "unwatched"]++;
    } catch (error) {
      // Between the event and now the host may have changed the same again, which has an event of its own.
      this.outcome.failed++;
      log("debug", "event not replayed", { kind: event.kind, name: String(event.name), error });
    }
  }

  /** Replays the end of what somebody waits on by itself: who renames a file over it, or removes its directory, is seen in that way only. */
  replayGone(): void {
    const device = fstatSync(this.#share, { bigint: true }).dev;
    for (const nodeId of this.watches.nodeIdsOn(device)) {
      this.#announce(ReplayKind.gone, nodeId);
      try {
        remove(pathIn(this.#share, Buffer.from(REPLAY_NAME)));
        this.outcome.replayed++;
      } catch {
        // Most are still there, which is what kata-fsd says then.
      }
    }
  }

  #isAwaited(directory: number, { kind, name }: Event): boolean {
    if (this.watches.has(fstatSync(directory, { bigint: true }))) return true;
    const isContent = kind === "attrib" || kind === "modify" || kind === "close-write";
    if (!isContent || name.length === 0) return false;
    return this.watches.has(lstatSync(pathIn(directory, name), { bigint: true }));
  }

  /** Makes the kernel forget the names, unless a replay did, and ask for the attributes of the directory and of what the event is about. */
  #refresh(directory: number, { kind, node, name, oldName }: Event, withNames: boolean): void {
    if (withNames && (kind === "create" || kind === "remove" || kind === "rename")) {
      for (const stale of [name, oldName]) if (stale.length > 0) this.#invalidate(directory, node, stale);
    }
    statFresh(pathIn(directory, Buffer.from(".")));
    if (kind === "attrib" && name.length > 0) statFresh(pathIn(directory, name));
  }

  #perform(directory: number, event: Event): void {
    const { kind, node, name, oldName, type } = event;
    const path = pathIn(directory, name.length === 0 ? Buffer.from(".") : name);
    switch (kind) {
      case "attrib":
      case "modify":
        this.#announce(ReplayKind.touch, node);
        touch(path, kind === "attrib");
        return;
      case "close-write":
        this.#announce(ReplayKind.touch, node);
        closeSync(openSync(path, O_WRONLY | O_NOFOLLOW));
        return;
      case "create":
        this.#invalidate(directory, node, name);
        this.#announce(ReplayKind.create, node, name);
        make(path, type);
        return;
      case "remove":
        this.#announce(ReplayKind.remove, node, name, Buffer.alloc(0), type);
        remove(path);
        return;
      case "rename": {
        for (const stale of [name, oldName]) if (stale.length > 0) this.#invalidate(directory, node, stale);
        this.#announce(ReplayKind.rename, node, name, oldName, type);
        renameSync(this.#pathOrElsewhere(directory, oldName), this.#pathOrElsewhere(directory, name));
        return;
      }
    }
  }

  /** Makes the kernel forget a name, so that it asks for it in the call that follows. */
  #invalidate(directory: number, node: bigint, name: Buffer): void {
    this.#announce(ReplayKind.invalidate, node, name);
    try {
      remove(pathIn(directory, name));
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  }

  #announce(
    kind: ReplayKind,
    nodeId: bigint,
    name: Buffer = Buffer.alloc(0),
    oldName: Buffer = Buffer.alloc(0),
    type = 0,
  ): void {
    const names = { name: name.toString("latin1"), oldName: oldName.toString("latin1") };
    setAttribute(
      Buffer.from(`/proc/self/fd/${this.#share}`),
      REPLAY_XATTR,
      encodeReplay({ kind, nodeId, type, ...names }),
    );
  }

  #pathOrElsewhere(directory: number, name: Buffer): Buffer {
    return name.length === 0 ? pathIn(this.#share, Buffer.from(REPLAY_NAME)) : pathIn(directory, name);
  }

  #open(path: Buffer): number | undefined {
    const key = path.toString("latin1");
    if (!this.#directories.has(key)) {
      let fd: number | undefined;
      try {
        fd = openBelow(this.#share, path);
      } catch (error) {
        if (!hasErrno(error, "ENOENT")) throw error;
      }
      this.#directories.set(key, fd);
    }
    return this.#directories.get(key);
  }
}

/** The path of a name in an open directory. */
function pathIn(directory: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name]);
}

function make(path: Buffer, type: number): void {
  if (type === S_IFDIR) mkdirSync(path);
  else if (type === S_IFLNK) symlinkSync("replayed", path);
  else makeNode(path, type === 0 ? S_IFREG : type);
}

function remove(path: Buffer): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasErrno(error, "EISDIR")) throw error;
    rmdirSync(path);
  }
}
