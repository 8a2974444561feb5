import { lstatSync, rmSync } from "node:fs";
import { groupId } from "../lib/sys/group.js";
import { adoptListeningUnix, listenUnix } from "../lib/sys/unix-socket.js";
import type { SocketOptions } from "./options/device-options.js";

/** A listening socket, and its file where it is this daemon's. */
export interface ListeningSocket {
  readonly fd: number;
  readonly file: SocketFile | undefined;
}

/** A socket's place in the file system. */
export class SocketFile {
  private constructor(
    private readonly path: string,
    private readonly dev: bigint,
    private readonly ino: bigint,
  ) {}

  static at(path: string): SocketFile {
    const { dev, ino } = lstatSync(path, { bigint: true });
    return new SocketFile(path, dev, ino);
  }

  /** What the launcher of a sandboxed daemon removes it by: see launcher.sh. */
  get line(): string {
    return `${this.dev}:${this.ino} ${this.path}\n`;
  }

  /**
   * Removes it, if it is still there: another daemon may have put its own in its place, and in a sandbox the same path leads to something
   * else, or nowhere. @throws Error of node:fs
   */
  remove(): void {
    const found = lstatSync(this.path, { bigint: true, throwIfNoEntry: false });
    if (found?.dev === this.dev && found.ino === this.ino) rmSync(this.path);
  }
}

/** Listens where the front end will connect. @throws SysError, RangeError; Error for a group that there is not */
export function listenForFrontEnd(socket: SocketOptions): ListeningSocket {
  if ("fd" in socket) return { fd: adoptListeningUnix(socket.fd), file: undefined };
  const { path, group } = socket;
  const gid = group === undefined ? undefined : groupId(group);
  if (group !== undefined && gid === undefined)
    throw new Error(`--socket-group=${group}: there is no such group`);
  return { fd: listenUnix(path, gid), file: SocketFile.at(path) };
}

/** Listens for those who ask for the counters. @throws SysError, RangeError */
export function listenForService(path: string | undefined): ListeningSocket {
  return path === undefined
    ? { fd: -1, file: undefined }
    : { fd: listenUnix(path), file: SocketFile.at(path) };
}
